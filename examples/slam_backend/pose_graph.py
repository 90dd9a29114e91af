"""A pose graph of odometry and loop closures, optimised by GTSAM."""

from __future__ import annotations

import gtsam
import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import Trajectory

# Metres of driving between nodes; closures attach to the nearest stamp.
_SPACING = 0.5
# Of Cauchy's kernel, in standard deviations: a closure further off than this counts for little.
_CAUCHY = 1.0
# GTSAM orders tangent vectors rotation first.
_ROTATION_FIRST = [3, 4, 5, 0, 1, 2]


class PoseGraph:
    """Nodes along the odometry, closures between them.

    Parameters
    ----------
    distance_sigma, turn_sigma : standard deviations of the odometry, metres and radians per metre driven.
    is_robust : closures through a Cauchy kernel; otherwise they are believed as they are.
    """

    def __init__(
        self, distance_sigma: float = 0.02, turn_sigma: float = 0.01, is_robust: bool = True
    ) -> None:
        self._distance_sigma, self._turn_sigma, self._is_robust = distance_sigma, turn_sigma, is_robust
        self._graph = gtsam.NonlinearFactorGraph()
        self._initial = gtsam.Values()
        self._stamps: list[int] = []
        self._poses: list[Pose] = []
        self.closures = 0

    def add_odometry(self, stamp: int, pose: Pose) -> None:
        """Append a pose odom <- base_link; those too close to the last node are left out."""
        if not self._poses:
            certain = gtsam.noiseModel.Isotropic.Sigma(6, 1e-3)
            self._graph.add(gtsam.PriorFactorPose3(0, _to_gtsam(pose), certain))
        else:
            relative = self._poses[-1].inverse() @ pose
            way = float(np.linalg.norm(relative.position))
            if way < _SPACING:
                return
            sigmas = np.sqrt(way) * np.repeat([self._turn_sigma, self._distance_sigma], 3)
            node = len(self._poses)
            noise = gtsam.noiseModel.Diagonal.Sigmas(sigmas)
            self._graph.add(gtsam.BetweenFactorPose3(node - 1, node, _to_gtsam(relative), noise))
        self._initial.insert(len(self._poses), _to_gtsam(pose))
        self._stamps.append(stamp)
        self._poses.append(pose)

    def add_closure(self, from_stamp: int, to_stamp: int, relative: Pose, covariance: np.ndarray) -> None:
        """Connect two moments; relative: pose of `to` in the frame of `from`, covariance (6, 6) as in ROS."""
        start, end = self._nearest(from_stamp), self._nearest(to_stamp)
        if start == end:
            return
        ordered = covariance[np.ix_(_ROTATION_FIRST, _ROTATION_FIRST)]
        noise: gtsam.noiseModel.Base = gtsam.noiseModel.Gaussian.Covariance(ordered)
        if self._is_robust:
            cauchy = gtsam.noiseModel.mEstimator.Cauchy.Create(_CAUCHY)
            noise = gtsam.noiseModel.Robust.Create(cauchy, noise)
        self._graph.add(gtsam.BetweenFactorPose3(start, end, _to_gtsam(relative), noise))
        self.closures += 1

    def optimize(self) -> Trajectory:
        """The corrected trajectory of the nodes."""
        values = gtsam.LevenbergMarquardtOptimizer(self._graph, self._initial).optimize()
        poses = [_from_gtsam(values.atPose3(node)) for node in range(len(self._stamps))]
        return Trajectory.from_poses(zip(self._stamps, poses, strict=True))

    def _nearest(self, stamp: int) -> int:
        stamps = np.array(self._stamps)
        return int(np.argmin(np.abs(stamps - stamp)))


def _to_gtsam(pose: Pose) -> gtsam.Pose3:
    x, y, z, w = pose.quaternion
    return gtsam.Pose3(gtsam.Rot3.Quaternion(w, x, y, z), pose.position)


def _from_gtsam(pose: gtsam.Pose3) -> Pose:
    return Pose(pose.translation(), Rotation.from_matrix(pose.rotation().matrix()).as_quat())
