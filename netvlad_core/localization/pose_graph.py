"""A drive whose odometry drifts, bent into the frame of a map by the places of it that were recognised.

A pose graph in the plane (GTSAM, optional): poses that follow each other keep their way and turn within what
odometry errs, and those that were recognised keep to where the map says they are. Cauchy's kernel lets go of
recognitions that the others contradict.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose, yaw_of

# Errors of odometry in one step: metres and radians at least, and for each metre. By design.
_STEP, _STEP_PER_METRE = 0.02, 0.02
_TURN, _TURN_PER_METRE = 0.01, 0.002
# Errors of a recognition: places lie apart along the way, lanes beside each other.
_SEEN, _SEEN_TURN = 2.0, 0.3


def is_installed() -> bool:
    """Whether GTSAM is there."""
    return find_spec("gtsam") is not None


def bent(poses: np.ndarray, rows: np.ndarray, seen: np.ndarray, height: float) -> np.ndarray:
    """Poses (N, 7) of a drive in the frame of a map; needs GTSAM.

    Parameters
    ----------
    poses : (N, 7) float64 in the frame of its odometry, in the order of driving.
    rows, seen : (M,) int64 and (M, 7) float64, which of them were recognised, and where they are in the map.
    height : metres, of the frame of the odometry above that of the map.
    """
    import gtsam

    graph, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    own = [gtsam.Pose2(*pose) for pose in np.column_stack([poses[:, :2], yaw_of(poses[:, 3:])])]
    for row, guess in enumerate(_guesses(poses, rows, seen)):
        values.insert(row, gtsam.Pose2(*guess))
    for row, (before, after) in enumerate(pairwise(own)):
        step = before.between(after)
        way = float(np.hypot(step.x(), step.y()))
        along = _STEP + _STEP_PER_METRE * way
        sigmas = np.array([along, along, _TURN + _TURN_PER_METRE * way])
        noise = gtsam.noiseModel.Diagonal.Sigmas(sigmas)
        graph.add(gtsam.BetweenFactorPose2(row, row + 1, step, noise))
    kernel = gtsam.noiseModel.mEstimator.Cauchy.Create(1.0)
    noise = gtsam.noiseModel.Diagonal.Sigmas(np.array([_SEEN, _SEEN, _SEEN_TURN]))
    robust = gtsam.noiseModel.Robust.Create(kernel, noise)
    for row, place in zip(rows.tolist(), np.column_stack([seen[:, :2], yaw_of(seen[:, 3:])]), strict=True):
        graph.add(gtsam.PriorFactorPose2(row, gtsam.Pose2(*place), robust))
    settled = gtsam.LevenbergMarquardtOptimizer(graph, values).optimize()
    found = [settled.atPose2(row) for row in range(len(poses))]
    turns = np.array([pose.theta() for pose in found]) - yaw_of(poses[:, 3:])
    rotations = Rotation.from_euler("z", turns[:, None]) * Rotation.from_quat(poses[:, 3:])
    positions = [[pose.x(), pose.y(), z] for pose, z in zip(found, poses[:, 2] + height, strict=True)]
    return np.column_stack([positions, rotations.as_quat()])


def _guesses(poses: np.ndarray, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Where each pose is if the nearest recognition is right, x y yaw (N, 3)."""
    nearest = np.abs(np.arange(len(poses))[:, None] - rows).argmin(axis=1)
    moves = [_pose(there) @ _pose(own).inverse() for there, own in zip(seen, poses[rows], strict=True)]
    guesses = [moves[place] @ _pose(pose) for place, pose in zip(nearest.tolist(), poses, strict=True)]
    return np.array([[*guess.position[:2], guess.yaw] for guess in guesses])


def _pose(row: np.ndarray) -> Pose:
    return Pose(row[:3], row[3:])
