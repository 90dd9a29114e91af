"""The camera of the robot: calibrated by camera_info, and mounted as the best source says."""

from __future__ import annotations

from time import sleep, time_ns
from typing import Any

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import NetvladError
from netvlad_ros.camera_input import parse_extrinsics
from support.listener import SECOND, Drive, Listener
from support.robot import wait_until

_INFO = CameraInfo(
    width=64,
    height=48,
    distortion_model="plumb_bob",
    k=[40.0, 0, 31.5, 0, 40.0, 23.5, 0, 0, 1.0],
    d=[0.0] * 5,
)


def _show(drive: Drive) -> None:
    """Publish images for longer than calibration is waited for."""
    for i in range(18):
        drive.see(0.2 * i)
        sleep(0.2)


def _calibrate(drive: Drive, info: CameraInfo = _INFO, frame: str = "camera") -> Camera:
    """Publish camera_info until a moment has a camera; returns it."""
    info.header.frame_id = frame
    publisher = drive.robot.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)

    def is_calibrated() -> bool:
        publisher.publish(info)
        drive.see((time_ns() - drive.began) / SECOND)
        sleep(0.05)
        return any(moment.camera for moment in drive.node.moments)

    wait_until(is_calibrated, 10, "a calibrated moment")
    return next(moment.camera for moment in reversed(drive.node.moments) if moment.camera)


def test_camera_sits_where_the_parameter_says_else_tf_static_else_the_map(start_drive):
    said, joined, mapped = (Pose.from_xyz_yaw(x, 0.0) for x in (1.0, 2.0, 3.0))
    drive = start_drive(extrinsics="1 0 0 0 0 0 1")
    drive.mount("base_link", "camera", joined)
    drive.node.map_mounting = mapped
    assert _calibrate(drive).mounting.position.tolist() == said.position.tolist()
    other = start_drive()
    other.node.map_mounting = mapped
    assert _calibrate(other).mounting.position.tolist() == mapped.position.tolist()
    other.mount("base_link", "camera", joined)
    other.node.moments.clear()
    assert _calibrate(other).mounting.position.tolist() == joined.position.tolist()


def test_calibration_is_parsed_once_for_each_change(start_drive, monkeypatch):
    parsed = []
    real = Camera.from_message

    def parse(*arguments: Any) -> Camera:
        parsed.append(arguments)
        return real(*arguments)

    monkeypatch.setattr("netvlad_ros.camera_input.Camera.from_message", parse)
    drive = start_drive(extrinsics="0 0 0 0 0 0 1")
    _calibrate(drive)
    for _ in range(5):
        drive.node.moments.clear()
        _calibrate(drive)
    assert len(parsed) == 1


def test_missing_calibration_is_told_if_it_is_needed(start_drive):
    drive = start_drive(verification=True)
    _show(drive)
    assert drive.told_within("no calibration on").level == DiagnosticStatus.WARN
    other = start_drive()
    _show(other)
    assert all(status.level == DiagnosticStatus.OK for status in other.told[-2:])


def test_wrong_extrinsics_are_one_sentence_and_leave_the_node_inactive(ros):
    node = Listener(parameter_overrides=[Parameter("extrinsics", value="1 2 3")])
    try:
        assert not node.input.topic
        assert "expected 'x y z qx qy qz qw'" in node._all_problems()[0].message
    finally:
        node.destroy_node()


@pytest.mark.parametrize("text", ["1 2 3 0 0 0 2", " 1,2, 3 0,0 0 1\n"])
def test_extrinsics_are_seven_numbers(text):
    pose = parse_extrinsics(text)
    assert (*pose.position, *pose.quaternion) == (1, 2, 3, 0, 0, 0, 1)
    assert parse_extrinsics("  ") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [("1 2 3", "found 3 numbers"), ("0 0 one 0 0 0 1", "one"), ("0 0 0 0 0 0 0", "zero length")],
)
def test_other_extrinsics_are_refused_with_what_is_wrong(text, words):
    with pytest.raises(NetvladError, match=words):
        parse_extrinsics(text)
