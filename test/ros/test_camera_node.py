"""The lifecycle of a node through the real services, what its parameters count for, and how it starts."""

from __future__ import annotations

import subprocess
import sys
from time import time_ns

import pytest

pytest.importorskip("rclpy")
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from netvlad_ros.process import CANNOT_START
from support.engines import FailingEngine
from support.robot import raw, values_of, wait_until


def test_autostart_is_active_and_answers(robot, street):
    assert robot.state() == "active"
    assert robot.ask(raw(street.queries[9], time_ns())).matches[0].place_id == 9


def test_without_autostart_it_waits_for_its_manager_again_and_again(start, street, map_path):
    robot = start(map=map_path, autostart=False)
    assert robot.state() == "unconfigured"
    robot.diagnostics(lambda message, values: message == "not configured")
    counts = []
    for place in (1, 2, 3):
        assert robot.transition("configure")
        assert robot.state() == "inactive"
        assert robot.node.localizer is not None
        assert robot.transition("activate")
        wait_until(lambda: robot.publishers().get(f"{robot.namespace}/localizer/matches"), 10, "the topic")
        assert robot.ask(raw(street.queries[place], time_ns())).matches[0].place_id == place
        counts.append((robot.publishers(), len(list(robot.node.publishers)), len(list(robot.node.services))))
        assert robot.transition("deactivate")
        heard = len(robot.heard["matches"])
        robot.publish(raw(street.queries[0], time_ns()))
        assert robot.transition("cleanup")
        assert robot.node.localizer is None
        assert len(robot.heard["matches"]) == heard
    assert counts[0] == counts[1] == counts[2]
    assert len(list(robot.node.subscriptions)) == 0
    assert robot.transition("shutdown")
    assert robot.state() == "finalized"


def test_it_can_be_shut_down_while_active(start, street, map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    assert robot.transition("shutdown")
    assert robot.state() == "finalized"


def test_network_runs_in_the_precision_asked_for(start, street, map_path):
    robot = start(map=map_path, precision="bfloat16")
    assert robot.ask(raw(street.queries[7], time_ns())).matches[0].place_id == 7
    assert robot.node.localizer.extractor.precision == "bfloat16"


def test_cpu_answers_when_the_gpu_fails(start, street, map_path):
    robot = start(map=map_path)
    extractor = robot.node.localizer.extractor
    lost = RuntimeError("CUDA error: the device is gone")
    extractor.engine = FailingEngine(extractor.engine, lost, works=1)
    for place in (3, 5, 7):
        assert robot.ask(raw(street.queries[place], time_ns())).matches[0].place_id == place
    status = robot.diagnostics(lambda message, values: "CUDA error: the device is gone; the" in message)
    assert values_of(status)["engine"] == extractor.runs_on
    assert extractor.runs_on.startswith("CPU (OpenVINO")
    assert not isinstance(extractor.engine, FailingEngine)


def test_wrong_transition_is_refused_and_changes_nothing(robot):
    assert not robot.transition("configure")
    assert robot.state() == "active"


def test_missing_map_leaves_a_living_unconfigured_node(start, street, map_path, tmp_path):
    robot = start(map=tmp_path / "nothing")
    assert robot.state() == "unconfigured"
    robot.diagnostics(lambda message, values: "there is no map" in message and "nothing" in message)
    assert robot.set_parameter("map", str(map_path)) is None
    assert robot.transition("configure")
    assert robot.transition("activate")
    assert robot.ask(raw(street.queries[8], time_ns())).matches[0].place_id == 8


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"device": "tpu"}, "tpu"),
        ({"image_transport": "theora"}, "theora"),
        ({"precision": "int4"}, "int4"),
        ({"precision": "int8"}, "netvlad export"),
    ],
)
def test_wrong_parameter_leaves_a_living_unconfigured_node(start, map_path, parameters, words):
    robot = start(map=map_path, **parameters)
    assert robot.state() == "unconfigured"
    robot.diagnostics(lambda message, values: words in message)


def test_error_of_an_unforeseen_kind_is_reported(start, map_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr("netvlad_ros.open_map.Localizer.open", broken)
    robot = start(map=map_path)
    assert robot.state() == "unconfigured"
    robot.diagnostics(lambda message, values: "the driver is gone" in message)


def test_without_a_map_it_waits_for_one(start, street, map_path):
    from netvlad_ros.srv import LoadMap

    robot = start()
    assert robot.state() == "active"
    robot.diagnostics(lambda message, values: "no map is open" in message)
    robot.publish(raw(street.queries[0], time_ns()))
    assert robot.call(LoadMap, "load_map", path=str(map_path)).success
    assert robot.ask(raw(street.queries[5], time_ns())).matches[0].place_id == 5


def test_qos_of_the_images_can_be_overridden(start, street, map_path):
    namespace_free = {"reliability": "reliable", "depth": 3}
    robot = start(map=map_path, autostart=False)
    topic = f"{robot.namespace}/image"
    robot.close()
    overrides = {
        f"qos_overrides.{topic}.subscription.{name}": value for name, value in namespace_free.items()
    }
    again = start(namespace=robot.namespace, map=map_path, **overrides)
    (subscription,) = [s for s in again.node.subscriptions if s.topic_name == topic]
    assert subscription.qos_profile.reliability.name == "RELIABLE"
    assert subscription.qos_profile.depth == 3
    # The override is of this topic alone, and survives another activation.
    assert again.node.answers._match_image.qos_profile.reliability.name == "BEST_EFFORT"
    assert again.transition("deactivate")
    assert again.transition("activate")
    (subscription,) = [s for s in again.node.subscriptions if s.topic_name == topic]
    assert subscription.qos_profile.reliability.name == "RELIABLE"


def test_wrong_qos_override_is_reported_and_leaves_the_node_inactive(start, map_path):
    robot = start(
        namespace="/wrong_qos",
        map=map_path,
        **{"qos_overrides./wrong_qos/image.subscription.reliability": "perhaps"},
    )
    assert robot.state() == "inactive"
    robot.diagnostics(lambda message, values: "perhaps" in message)


def test_what_is_not_live_counts_from_the_next_configuring(start_drive):
    node = start_drive().node
    assert all(
        result.successful
        for result in node.set_parameters(
            [Parameter("base_frame", value="base"), Parameter("extrinsics", value="1 2 3")]
        )
    )
    success = TransitionCallbackReturn.SUCCESS
    assert node.trigger_deactivate() == node.trigger_activate() == success
    assert (node.value("base_frame"), node.value("extrinsics")) == ("base_link", "")
    assert node.trigger_deactivate() == node.trigger_cleanup() == node.trigger_configure() == success
    assert node.value("base_frame") == "base"
    assert node.trigger_activate() != success, "the extrinsics are wrong"


@pytest.mark.parametrize(
    ("executable", "arguments", "words"),
    [
        ("localize_node", ["--ros-args", "-p", "odometry_wait:=11.0"], "odometry_wait"),
        ("loop_closure_node", ["--ros-args", "-p", "odometry_wait:=11.0"], "odometry_wait"),
        ("localize_node", ["--ros-args", "-p", "min_inliers:=many"], "min_inliers"),
        ("loop_closure_node", ["--ros-args", "-p", "min_inliers:=many"], "min_inliers"),
        ("localize_node", ["--help"], "-p map:=maps/campus"),
        ("loop_closure_node", ["--help"], "-p map:=maps/campus"),
        # What no node has a say in: `run_node` answers for both.
        ("localize_node", ["--ros-args", "-p", "map"], "map"),
        ("loop_closure_node", ["--ros-args", "--log-level", "loud"], "loud"),
        ("localize_node", ["--ros-args", "--params-file", "/nowhere.yaml"], "/nowhere.yaml"),
        ("loop_closure_node", ["--map", "foo"], "unknown arguments: --map foo"),
        ("localize_node", ["map:=foo"], "unknown arguments: map:=foo"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_argument_is_one_sentence_and_a_status_of_its_own(programs, executable, arguments, words):
    done = subprocess.run(
        [sys.executable, str(programs / executable), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == CANNOT_START
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(executable)]
    assert len(lines) == 1
    assert words in lines[0]
