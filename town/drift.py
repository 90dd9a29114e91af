"""Odometry as a robot would have it, out of the true poses of a drive."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose


@dataclass(frozen=True)
class Drift:
    """Noise of simulated odometry: share of each step's length, radians for a metre of driving."""

    scale: float = 0.01
    turn_bias: float = np.radians(0.03)
    turn_sigma: float = np.radians(0.3)
    seed: int = 0

    def odometry(self, true: list[Pose]) -> list[Pose]:
        """Integrate the true steps with noise."""
        random = np.random.default_rng(self.seed)
        poses = [true[0]]
        for before, after in pairwise(true):
            step = before.inverse() @ after
            way = float(np.linalg.norm(step.position))
            turn = self.turn_bias * way + self.turn_sigma * np.sqrt(way) * random.normal()
            noisy = Rotation.from_rotvec([0, 0, turn]) * step.rotation
            poses.append(poses[-1] @ Pose((1 + self.scale) * step.position, noisy.as_quat()))
        return poses
