"""The odometry buffer: interpolation, forgetting, and what a robot may send by mistake."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds
from netvlad_ros.odometry import OdometryBuffer

_START = 10**18


def _message(seconds: float, x: float, yaw: float = 0.0, frame: str = "odom") -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.frame_id = frame
    message.header.stamp = stamp_from_nanoseconds(_START + int(seconds * 1e9))
    message.pose.pose = pose_to_message(Pose.from_xyz_yaw(x, 0.0, yaw=yaw))
    return message


def _at(buffer: OdometryBuffer, seconds: float) -> Pose | None:
    return buffer.at(_START + int(seconds * 1e9))


def test_pose_between_two_messages_is_interpolated():
    buffer = OdometryBuffer()
    for seconds, x, yaw in ((0.0, 0.0, 3.1), (0.1, 1.0, -3.1)):
        assert buffer.add(_message(seconds, x, yaw))
    pose = _at(buffer, 0.05)
    assert pose is not None
    np.testing.assert_allclose(pose.position, [0.5, 0.0, 0.0], atol=1e-9)
    assert abs(pose.rotation.as_euler("zyx")[0]) == pytest.approx(np.pi, abs=1e-6)  # the short way round


def test_no_pose_where_the_odometry_does_not_reach():
    buffer = OdometryBuffer()
    assert _at(buffer, 0.0) is None
    for seconds in (0.0, 0.1, 3.0):
        buffer.add(_message(seconds, seconds))
    assert _at(buffer, -1.0) is None
    assert _at(buffer, 1.5) is None  # in a gap of three seconds
    assert _at(buffer, 4.0) is None
    assert _at(buffer, 3.05) is not None  # a moment after the newest: the next one is on its way


def test_memory_is_bounded():
    buffer = OdometryBuffer()
    for index in range(5000):
        buffer.add(_message(index / 100, float(index)))
    assert len(buffer._poses) <= 1001
    assert _at(buffer, 30.0) is None
    assert _at(buffer, 45.0) is not None


def test_clock_that_jumps_back_and_another_frame_start_anew():
    buffer = OdometryBuffer()
    buffer.add(_message(100.0, 1.0))
    assert not buffer.add(_message(0.0, 2.0))
    assert _at(buffer, 100.0) is None
    assert not buffer.add(_message(0.1, 3.0, frame="world"))
    assert buffer.frame_id == "world"
    assert _at(buffer, 0.0) is not None  # near enough to the newest
    assert len(buffer._poses) == 1


def test_broken_pose_is_refused_and_the_others_stay():
    buffer = OdometryBuffer()
    buffer.add(_message(0.0, 1.0))
    broken = _message(0.1, 2.0)
    broken.pose.pose.position.x = float("nan")
    with pytest.raises(PoseError):
        buffer.add(broken)
    assert _at(buffer, 0.0) is not None
