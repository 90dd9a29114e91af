"""Odometry: interpolation, what is judged and left out, and poses of other frames of the robot."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry

from netvlad_core.data.geometry import Pose
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.odometry import OdometryBuffer, OdometryInput

_START = 10**18
_SECOND = 10**9


class Frames:
    """Static transforms of a robot whose tracking camera looks to the left, and of no other frame."""

    may_hear = True

    def between(self, frame: str, other: str) -> Pose | None:
        return (
            Pose.from_xyz_yaw(0.0, -1.0, yaw=-np.pi / 2) if (frame, other) == ("t265", "base_link") else None
        )


def _message(
    seconds: float, x: float, yaw: float = 0.0, frame: str = "odom", child: str = "base_link"
) -> Odometry:
    message = Odometry(child_frame_id=child)
    message.header.frame_id = frame
    message.header.stamp = stamp_from_nanoseconds(_START + round(seconds * _SECOND))
    message.pose.pose = pose_to_message(Pose.from_xyz_yaw(x, 0.0, yaw=yaw))
    return message


def _hear(odometry: OdometryInput, seconds: float, x: float, **options: str) -> bool:
    return odometry.hear(_message(seconds, x, **options), _START + round(seconds * _SECOND))


def _at(poses: OdometryBuffer | OdometryInput, seconds: float) -> Pose | None:
    return poses.at(_START + round(seconds * _SECOND))


@pytest.fixture
def odometry() -> OdometryInput:
    return OdometryInput(Statistics(), Frames())


# --- Buffer -------------------------------------------------------------------------------------------------


def _add(buffer: OdometryBuffer, seconds: float, x: float, yaw: float = 0.0) -> None:
    buffer.add(_START + round(seconds * _SECOND), Pose.from_xyz_yaw(x, 0.0, yaw=yaw))


def test_pose_between_two_others_is_interpolated():
    buffer = OdometryBuffer()
    _add(buffer, 0.1, 1.0, -3.1)
    _add(buffer, 0.0, 0.0, 3.1)  # in whatever order they come
    pose = _at(buffer, 0.05)
    assert pose is not None
    np.testing.assert_allclose(pose.position, [0.5, 0.0, 0.0], atol=1e-9)
    assert abs(pose.rotation.as_euler("zyx")[0]) == pytest.approx(np.pi, abs=1e-6)  # the short way round


def test_no_pose_where_the_odometry_does_not_reach():
    buffer = OdometryBuffer()
    assert _at(buffer, 0.0) is None
    for seconds in (0.0, 0.1, 3.0):
        _add(buffer, seconds, seconds)
    assert _at(buffer, -1.0) is None
    assert _at(buffer, 1.5) is None  # in a gap of three seconds
    assert _at(buffer, 4.0) is None
    assert _at(buffer, 3.05) is not None  # a moment after the newest: the next one is on its way


def test_memory_is_bounded():
    buffer = OdometryBuffer()
    for index in range(5000):
        _add(buffer, index / 100, float(index))
    assert len(buffer) <= 1001
    assert _at(buffer, 30.0) is None
    assert _at(buffer, 45.0) is not None


def test_every_instant_agrees_with_a_trajectory_of_all_poses():
    from netvlad_core.data.trajectory import Trajectory

    random = np.random.default_rng(0)
    stamps = _START + np.cumsum(random.integers(10**6, 2 * _SECOND, 30))
    poses = [Pose.from_xyz_yaw(*random.normal(size=3), yaw=random.uniform(-3, 3)) for _ in stamps]
    buffer = OdometryBuffer()
    for index in random.permutation(30):
        buffer.add(int(stamps[index]), poses[index])
    kept = [pair for pair in zip(stamps.tolist(), poses) if pair[0] >= stamps[-1] - 10 * _SECOND]
    whole = Trajectory.from_poses(kept)
    for stamp in random.integers(kept[0][0] - _SECOND, kept[-1][0] + _SECOND, 200).tolist():
        expected, found = whole.at(stamp), buffer.at(stamp)
        assert (expected is None) == (found is None)
        if expected is not None and found is not None:
            np.testing.assert_allclose(found.position, expected.position)
            np.testing.assert_allclose(found.quaternion, expected.quaternion)


# --- Judged -------------------------------------------------------------------------------------------------


def test_message_out_of_order_changes_nothing(odometry):
    for tick in (0, 1, 2, 4, 3, 5):
        assert not _hear(odometry, tick / 50, float(tick))
    assert _at(odometry, 0.09).position[0] == pytest.approx(4.5)
    assert odometry._statistics.recent("odometry").share == 0


def test_single_stamp_of_another_clock_is_left_out_and_a_lasting_one_starts_anew(odometry):
    for tick in range(5):
        _hear(odometry, 100 + tick / 50, 1.0)
    assert not odometry.hear(_message(0.0, 9.0), _START + 101 * _SECOND)
    assert _at(odometry, 100.05) is not None
    answers = [
        odometry.hear(_message(t, 9.0), _START + 102 * _SECOND + int(t * 1e9)) for t in (0.1, 0.2, 0.3)
    ]
    assert answers == [False, True, False]  # with the first one these are three
    assert _at(odometry, 100.05) is None
    assert _at(odometry, 0.3) is not None


def test_odometry_without_stamps_is_taken_when_it_comes(odometry):
    for tick in range(10):
        message = _message(0.0, float(tick))
        message.header.stamp.sec = 0
        odometry.hear(message, _START + tick * _SECOND // 10)
    assert _at(odometry, 0.85).position[0] == pytest.approx(8.5)


def test_of_two_publishers_the_first_is_kept_and_both_are_named(odometry):
    for tick in range(100):
        assert not _hear(odometry, tick / 50, float(tick) / 100)
        assert not _hear(odometry, tick / 50 + 0.003, 500.0, child="wheels")
    assert _at(odometry, 1.0).position[0] == pytest.approx(0.5)
    assert "base_link" in odometry.frames_remark
    assert "wheels" in odometry.frames_remark


def test_another_publisher_takes_over_from_one_that_has_gone(odometry):
    _hear(odometry, 0.0, 1.0)
    assert _hear(odometry, 3.0, 7.0, frame="world")
    assert odometry.frame_id == "world"
    assert _at(odometry, 0.0) is None


def test_broken_pose_is_left_out_and_the_others_stay(odometry):
    _hear(odometry, 0.0, 1.0)
    broken = _message(0.1, 2.0)
    broken.pose.pose.position.x = float("nan")
    assert not odometry.hear(broken, _START + _SECOND // 10)
    assert _at(odometry, 0.0) is not None
    assert odometry._statistics.recent("odometry").left_out.total() == 1


def test_jump_that_no_robot_makes_is_left_out_and_a_new_origin_starts_anew(odometry):
    for tick in range(5):
        _hear(odometry, tick / 50, 1.0)
    assert not _hear(odometry, 0.1, 1e6)
    assert not _hear(odometry, 0.12, 1.0)
    assert [_hear(odometry, 0.14 + tick / 50, -800.0) for tick in range(3)] == [False, False, True]
    assert _at(odometry, 0.18).position[0] == -800.0


# --- Frames -------------------------------------------------------------------------------------------------


def test_poses_of_another_frame_are_carried_to_the_base_frame(odometry):
    odometry.hear(_message(0.0, 5.0, yaw=np.pi / 2, child="t265"), _START)
    pose = _at(odometry, 0.0)
    np.testing.assert_allclose(pose.position, [6.0, 0.0, 0.0], atol=1e-9)
    assert pose.yaw == pytest.approx(0.0)
    assert not odometry.unjoined_remark


def test_frame_that_nothing_joins_is_waited_for_and_then_named(odometry, monkeypatch):
    _hear(odometry, 0.0, 5.0, child="/imu_link")
    assert _at(odometry, 0.0) is None
    monkeypatch.setattr("netvlad_ros.odometry._TRANSFORM_WAIT", 0.0)
    assert _at(odometry, 0.0).position[0] == 5.0
    assert "imu_link" in odometry.unjoined_remark
    assert "base_link" in odometry.unjoined_remark


@pytest.mark.parametrize("child", ["base_link", "/base_link", ""])
def test_base_frame_has_several_spellings(odometry, child):
    _hear(odometry, 0.0, 5.0, child=child)
    assert _at(odometry, 0.0).position[0] == 5.0
    assert not odometry.unjoined_remark


# --- Waiting ------------------------------------------------------------------------------------------------


def test_odometry_is_awaited_only_if_it_may_still_come(odometry, monkeypatch):
    assert not odometry.is_awaited(_START)
    _hear(odometry, 0.0, 0.0)
    assert odometry.is_awaited(_START + 1)
    assert not odometry.is_awaited(_START)
    assert not odometry.is_awaited(_START + 3600 * _SECOND)
    monkeypatch.setattr("netvlad_ros.odometry._ALIVE", 0.0)
    assert not odometry.is_awaited(_START + 1)
