"""Points in front of calibrated cameras: local features whose geometry is known."""

from __future__ import annotations

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures

# base_link <- optical frame: looking forward, 1.5 m above the ground.
MOUNTING = Pose.from_values([0.5, 0.0, 1.5], [-0.5, 0.5, -0.5, 0.5])
CAMERA = Camera.from_values(
    320, 240, [[220.0, 0, 159.5], [0, 220.0, 119.5], [0, 0, 1]], "plumb_bob", (), MOUNTING
)


def scattered(count: int, seed: int = 0) -> np.ndarray:
    """Points (N, 3) in a street 8 to 40 m ahead, metres."""
    return np.random.default_rng(seed).uniform((8, -8, -1), (40, 8, 8), (count, 3))


def look(
    points: np.ndarray, pose: Pose, noise: float = 0.0, wrong: float = 0.0, seed: int = 0
) -> LocalFeatures:
    """Features of the points as a camera on a robot at a pose sees them; point i has the i-th descriptor.

    Parameters
    ----------
    noise : standard deviation, pixels.
    wrong : share of the points that are seen anywhere.
    """
    random = np.random.default_rng(seed)
    to_camera = (pose @ MOUNTING).inverse()
    local = to_camera.rotation.apply(points) + to_camera.position
    pixels = local @ CAMERA.matrix.T
    pixels = pixels[:, :2] / pixels[:, 2:] + random.normal(0, noise, (len(points), 2))
    is_wrong = random.random(len(points)) < wrong
    pixels[is_wrong] = random.uniform((0, 0), (320, 240), (int(is_wrong.sum()), 2))
    descriptors = np.random.default_rng(99).normal(size=(len(points), 128))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    is_seen = ((pixels >= 0) & (pixels < (320, 240))).all(axis=1) & (local[:, 2] > 0.1)
    return LocalFeatures(
        pixels[is_seen].astype(np.float32), descriptors[is_seen].astype(np.float32), (320, 240)
    )
