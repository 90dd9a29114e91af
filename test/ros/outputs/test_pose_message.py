"""Poses are held against the rules by which their consumers refuse them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_ros.outputs.pose_message import diagonal_message
from support.amcl import RELEASES, refusal


def test_odd_numbers_are_mended_for_consumers_that_believe_them():
    covariance = np.diag([4.0, 0.0, np.inf, np.nan, -1.0, 1e12])
    covariance[0, 1] = covariance[1, 0] = -2.0
    prior = PosePrior(Pose(np.array([1.0, 2, 3]), np.array([0, 0, 3.0, 4.0])), covariance, 1.0)
    message = diagonal_message(prior, Header(frame_id="map"))
    assert [refusal(message, release, (100, 100)) for release in RELEASES] == [""] * 4
    np.testing.assert_allclose(
        np.diag(np.array(message.pose.covariance).reshape(6, 6)), [4, 1e-4, 1e9, 1e9, 1e-4, 1e9]
    )
    assert message.pose.pose.orientation.z == pytest.approx(0.6)


def test_pose_that_is_none_is_not_sent():
    prior = PosePrior(Pose(np.full(3, np.nan), np.array([0, 0, 0, 1.0])), np.eye(6), 1.0)
    with pytest.raises(PoseError):
        diagonal_message(prior, Header())
