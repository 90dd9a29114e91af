"""Poses of an upright camera from pairs of points: the smallest number that gives one.

A camera whose vertical is known has four unknowns, heading and position, and a point gives two. Rays are
levelled: turned so that z is up. A pose is a row: heading (radians about z), x, y, z (metres).
"""

from __future__ import annotations

import numpy as np


def poses_from_two(a: np.ndarray, b: np.ndarray, scene_a: np.ndarray, scene_b: np.ndarray) -> np.ndarray:
    """Heading and position (H, 4) of upright cameras that see points along levelled rays, in pairs (P, 3).

    With distances l and m the points are at position + turn(l a) and position + turn(m b). The difference of
    their heights is linear in l and m, and leaves a line of them; that of their positions in the plane, whose
    length no turn changes, is quadratic along it.
    """
    apart = scene_a - scene_b
    square = a[:, 2] ** 2 + b[:, 2] ** 2 + 1e-12
    start = apart[:, 2:] * np.column_stack([a[:, 2], -b[:, 2]]) / square[:, None]
    along = np.column_stack([b[:, 2], a[:, 2]]) / np.sqrt(square)[:, None]
    first = start[:, :1] * a[:, :2] - start[:, 1:] * b[:, :2]
    slope = along[:, :1] * a[:, :2] - along[:, 1:] * b[:, :2]
    quadratic, linear = (slope**2).sum(axis=1) + 1e-12, (first * slope).sum(axis=1)
    length = np.hypot(apart[:, 0], apart[:, 1])
    root = linear**2 - quadratic * ((first**2).sum(axis=1) - length**2)
    found = []
    for sign in (1, -1):
        step = (sign * np.sqrt(np.maximum(root, 0)) - linear) / quadratic
        distances = start + step[:, None] * along
        flat = first + step[:, None] * slope
        heading = np.arctan2(apart[:, 1], apart[:, 0]) - np.arctan2(flat[:, 1], flat[:, 0])
        cosine, sine = np.cos(heading), np.sin(heading)
        x, y, z = (distances[:, :1] * a).T
        turned = np.column_stack([cosine * x - sine * y, sine * x + cosine * y, z])
        good = (root >= 0) & (distances > 0.5).all(axis=1) & (length > 0.3)
        found.append(np.column_stack([heading, scene_a - turned])[good])
    return np.vstack(found)


def soft_counts(
    poses: np.ndarray, rays: np.ndarray, scene: np.ndarray, weights: np.ndarray, reach: float
) -> np.ndarray:
    """How many matches agree with each pose, by how well those within `reach` radians do; (H,) float32.

    Parameters
    ----------
    poses : (H, 4).
    rays, scene : (M, 3) levelled rays of the matches, and their points in metres.
    weights : (M,) what each match counts at most.
    """
    heading, x, y, z = poses.T.astype(np.float32)
    cosine, sine = np.cos(heading), np.sin(heading)
    of_poses = np.stack([cosine, sine, -cosine * x - sine * y, sine * x - cosine * y, z * 0 + 1, -z], axis=1)
    (px, py, pz), (a, b, c) = scene.T, rays.T
    of_points = np.stack([px * a + py * b, py * a - px * b, a, b, pz * c, c]).astype(np.float32)
    along = of_poses @ of_points  # the inner product of ray and point
    flat = poses[:, 1:].astype(np.float32)
    square = (scene**2).sum(axis=1).astype(np.float32) - 2 * flat @ scene.T.astype(np.float32)
    square += (flat**2).sum(axis=1, keepdims=True)
    cosines = along / np.sqrt(np.maximum(square, 1e-3))
    return np.asarray(np.maximum(0, 1 - 2 * (1 - cosines) / reach**2) @ weights.astype(np.float32))
