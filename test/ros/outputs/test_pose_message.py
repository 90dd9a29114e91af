"""Poses are held against the rules by which their consumers refuse them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_ros.outputs.pose_message import diagonal_message


def _check_for_amcl(message: PoseWithCovarianceStamped) -> None:
    """The rules of nav2_ros_common/validate_messages.hpp."""
    assert message.header.frame_id == "map"
    covariance = np.array(message.pose.covariance)
    assert np.isfinite(covariance).all()
    assert ((covariance >= 0) & (covariance <= 1e9)).all()
    assert (np.diag(covariance.reshape(6, 6)) > 1e-6).all()
    q = message.pose.pose.orientation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1, abs=1e-4)
    p = message.pose.pose.position
    assert np.isfinite([p.x, p.y, p.z]).all()


def test_odd_numbers_are_mended_for_consumers_that_believe_them():
    covariance = np.diag([4.0, 0.0, np.inf, np.nan, -1.0, 1e12])
    covariance[0, 1] = covariance[1, 0] = -2.0
    prior = PosePrior(Pose(np.array([1.0, 2, 3]), np.array([0, 0, 3.0, 4.0])), covariance, 1.0)
    message = diagonal_message(prior, Header(frame_id="map"))
    _check_for_amcl(message)
    np.testing.assert_allclose(
        np.diag(np.array(message.pose.covariance).reshape(6, 6)), [4, 1e-4, 1e9, 1e9, 1e-4, 1e9]
    )
    assert message.pose.pose.orientation.z == pytest.approx(0.6)


def test_pose_that_is_none_is_not_sent():
    prior = PosePrior(Pose(np.full(3, np.nan), np.array([0, 0, 0, 1.0])), np.eye(6), 1.0)
    with pytest.raises(PoseError):
        diagonal_message(prior, Header())
