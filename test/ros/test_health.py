"""Diagnostics tell what is missing."""

from __future__ import annotations

from time import time_ns

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus

from support.robot import jpeg, raw, values_of


def test_working_node_says_so_with_its_figures(robot, street):
    robot.ask(raw(street.queries[0], time_ns()))
    status = robot.diagnostics(  # a report may have come before the answer
        lambda message, values: message == "working" and any("network (ms" in key for key in values)
    )
    assert status.level == DiagnosticStatus.OK
    assert status.hardware_id == f"{robot.namespace}/image"
    keys = " ".join(values_of(status))
    for word in ("map_id", "model_id", "engine", "images received", "age when taken in work"):
        assert word in keys


def test_silent_camera_is_reported_with_the_topics_that_are_seen(start, street, map_path):
    robot = start(map=map_path, image_timeout=1.0, image_transport="compressed")
    status = robot.diagnostics(lambda message, values: "no image on" in message)
    assert status.level == DiagnosticStatus.WARN
    assert f"no image on {robot.namespace}/image/compressed for" in status.message
    seen = status.message.partition("image topics seen: ")[2]
    assert f"{robot.namespace}/image (sensor_msgs/Image)" in seen
    assert f"{robot.namespace}/localizer/match_image" not in seen, "its own pictures are no camera"
    # It comes back: the warning goes.
    robot.ask(jpeg(street.queries[0], time_ns()))
    assert robot.set_parameter("image_timeout", 60.0) is None
    robot.diagnostics(lambda message, values: message == "working")


def test_inactive_node_says_so(start, map_path):
    robot = start(map=map_path)
    robot.transition("deactivate")
    robot.diagnostics(lambda message, values: message == "not active")


def test_simulation_without_a_clock_is_diagnosed_all_the_same(start, map_path):
    robot = start(map=map_path, use_sim_time=True, image_timeout=0.5)
    robot.diagnostics(lambda message, values: "no image on" in message)
