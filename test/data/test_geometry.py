"""Rigid transforms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose, rotation_between, yaw_of
from netvlad_core.errors import PoseError

QUARTER_TURN = np.pi / 2


def test_composition_moves_then_turns():
    map_from_odom = Pose.from_xyz_yaw(10.0, 0.0, yaw=QUARTER_TURN)
    odom_from_base = Pose.from_xyz_yaw(2.0, 1.0, 0.5, yaw=QUARTER_TURN)
    map_from_base = map_from_odom @ odom_from_base
    np.testing.assert_allclose(map_from_base.position, [9.0, 2.0, 0.5], atol=1e-12)
    assert abs(map_from_base.yaw) == pytest.approx(np.pi)


def test_composition_is_the_product_of_matrices():
    def matrix(pose: Pose) -> np.ndarray:
        transform = np.eye(4)
        transform[:3, :3], transform[:3, 3] = pose.rotation.as_matrix(), pose.position
        return transform

    a = Pose.from_values([1, 2, 3], [0.5, -0.1, 0.3, 0.8])
    b = Pose.from_values([-2, 0.5, 1], [-0.2, 0.6, 0.1, 0.4])
    np.testing.assert_allclose(matrix(a @ b), matrix(a) @ matrix(b), atol=1e-12)


def test_inverse_undoes():
    pose = Pose.from_values([1.0, -2.0, 3.0], [0.1, -0.5, 0.3, 0.8])
    for product in (pose @ pose.inverse(), pose.inverse() @ pose):
        np.testing.assert_allclose(product.position, 0, atol=1e-12)
        assert rotation_between(product.quaternion, Pose.identity().quaternion) < 1e-6


def test_quaternion_is_normalised():
    np.testing.assert_allclose(Pose.from_values([0, 0, 0], [0, 0, 0, 2]).quaternion, [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("position", "quaternion", "found"),
    [
        ([np.nan, 0, 0], [0, 0, 0, 1], "not finite"),
        ([0, 0, 0], [0, 0, np.inf, 1], "not finite"),
        ([0, 0, 0], [0, 0, 0, 0], "zero length"),
        ([0, 0, 0], [0, 0, 1e200, 1e200], "no rotation"),
        ([0, 0, 0], [0, 0, 0, -2e6], "no rotation"),
        ([1.7e308, 0, 0], [0, 0, 0, 1], "farther away than any place on Earth"),
        ([0, -3e7, 0], [0, 0, 0, 1], "farther away than any place on Earth"),
    ],
)
def test_broken_pose_is_refused(position, quaternion, found):
    with pytest.raises(PoseError, match=found):
        Pose.from_values(position, quaternion)


def test_lengths_of_quaternions_that_are_rotations():
    for length in (1e-5, 9e5):
        np.testing.assert_allclose(Pose.from_values([2e7, 0, 0], [0, 0, length, 0]).quaternion, [0, 0, 1, 0])


def test_yaw_of_tilted_body_is_its_heading():
    tilted = Rotation.from_euler("ZYX", [2.5, 0.3, -0.4]).as_quat()
    assert yaw_of(tilted[None])[0] == pytest.approx(2.5)


def test_rotation_between_ignores_the_sign_of_quaternions():
    a, b = Pose.from_xyz_yaw(0, 0, yaw=0.2).quaternion, Pose.from_xyz_yaw(0, 0, yaw=1.0).quaternion
    np.testing.assert_allclose(rotation_between(np.stack([b, -b]), a), 0.8)
