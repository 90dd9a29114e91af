"""Poses of the matches of a drive, held together by odometry."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.anchored_pose import AnchoredPose
from netvlad_core.localization.pose_prior import PosePrior

_SECOND = 10**9
_ODOMETRY = Pose.from_xyz_yaw(300.0, -50.0, yaw=1.2)  # map <- odom
_COVARIANCE = np.diag([4.0, 4.0, 4.0, 0.01, 0.01, 0.01])


def _driven(count: int = 40) -> list[Pose]:
    """Odometry of a drive that bends to the left, a metre a second."""
    poses = [Pose.identity()]
    for _ in range(count - 1):
        poses.append(poses[-1] @ Pose.from_xyz_yaw(1.0, 0.0, yaw=0.03))
    return poses


def _prior(pose: Pose) -> PosePrior:
    return PosePrior(pose, _COVARIANCE, 1.0)


def _errors(anchored: AnchoredPose, odometry: list[Pose], off: np.ndarray, start: int = 0) -> np.ndarray:
    errors = []
    for number, (pose, away) in enumerate(zip(odometry, off)):
        true = _ODOMETRY @ pose
        prior = _prior(Pose(true.position + np.array([*away, 0.5]), true.quaternion))
        found = anchored.next(prior, pose, (start + number) * _SECOND)
        assert found.covariance is prior.covariance
        assert found.pose.position[2] == prior.pose.position[2]
        errors.append(np.linalg.norm(found.pose.position[:2] - true.position[:2]))
    return np.array(errors)


def test_matches_here_ahead_and_there_behind_average_out() -> None:
    off = np.random.default_rng(1).normal(0, 2.0, (40, 2))
    errors = _errors(AnchoredPose(1.0), _driven(), off)
    assert errors[0] == pytest.approx(np.linalg.norm(off[0]))
    assert errors[20:].mean() < 0.5 * np.linalg.norm(off[20:], axis=1).mean()


def test_a_robot_that_stands_is_where_it_stood() -> None:
    anchored, odometry = AnchoredPose(1.0), _driven(10)
    _errors(anchored, odometry, np.zeros((10, 2)))
    stands = [odometry[-1]] * 50
    assert _errors(anchored, stands, np.full((50, 2), 3.0), 10).max() < 1e-6


def test_heading_is_that_of_the_drive() -> None:
    anchored, random = AnchoredPose(1.0), np.random.default_rng(2)
    for number, pose in enumerate(_driven()):
        true = _ODOMETRY @ pose
        off = Pose.from_xyz_yaw(0.0, 0.0, yaw=float(random.normal(0, 0.1)))
        found = anchored.next(_prior(true @ off), pose, number * _SECOND)
    assert (found.pose.rotation.inv() * true.rotation).magnitude() < 0.05


@pytest.mark.parametrize("what", ["odometry", "time", "robot"])
def test_after_a_jump_it_begins_anew(what: str) -> None:
    anchored, odometry = AnchoredPose(1.0), _driven(20)
    _errors(anchored, odometry, np.zeros((20, 2)))
    at = odometry[-1] @ Pose.from_xyz_yaw(500.0 if what == "odometry" else 1.0, 0.0)
    stamp = (5 if what == "time" else 20) * _SECOND
    true = _ODOMETRY @ odometry[-1] @ Pose.from_xyz_yaw(40.0 if what == "robot" else 2.0, 0.0)
    found = anchored.next(_prior(true), at, stamp)
    assert np.linalg.norm(found.pose.position - true.position) < 1e-6


def test_a_copy_goes_its_own_way() -> None:
    one, odometry = AnchoredPose(1.0), _driven(20)
    _errors(one, odometry, np.zeros((20, 2)))
    other = deepcopy(one)
    on = [odometry[-1] @ Pose.from_xyz_yaw(metres, 0.0) for metres in (1.0, 2.0, 3.0)]
    _errors(other, on, np.full((3, 2), 2.0), 20)
    assert _errors(one, on, np.zeros((3, 2)), 20).max() < 1e-6


def test_odometry_that_is_not_finite_is_none() -> None:
    anchored, odometry = AnchoredPose(1.0), _driven(20)
    _errors(anchored, odometry, np.zeros((20, 2)))
    prior = _prior(_ODOMETRY @ odometry[-1])
    broken = Pose(np.array([np.nan, 0.0, 0.0]), odometry[-1].quaternion)
    assert anchored.next(prior, broken, 20 * _SECOND) is prior
    found = anchored.next(prior, odometry[-1], 21 * _SECOND)
    assert np.allclose(found.pose.position, prior.pose.position)
