"""What RViz and Foxglove are told to show is what the running node has: topics, types, QoS and fields."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from demo.views import KINDS, topics
from netvlad_ros.msg import PlaceMatches

_ROOT = Path(__file__).resolve().parents[2]
_SPATIAL = set(KINDS.values()) - {"sensor_msgs/msg/Image"}


def _publisher(robot: Any, topic: str) -> TopicEndpointInfo:
    """The one publisher of a topic, in the namespace that the robot has."""
    name = topic.replace("/localizer/", f"{robot.namespace}/localizer/")
    (publisher,) = (
        found for found in robot.node.get_publishers_info_by_topic(name) if found.node_name == "localizer"
    )
    return publisher


def _message(kind: str) -> Any:
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def _displays() -> list[dict[str, Any]]:
    view = yaml.safe_load((_ROOT / "rviz" / "localize.rviz").read_text())["Visualization Manager"]
    return [display for display in view["Displays"] if "Topic" in display]


def test_rviz_shows_topics_of_the_node_in_their_type_and_quality(robot):
    shown = set()
    for display in _displays():
        asked = display["Topic"]
        publisher = _publisher(robot, asked["Value"])
        assert publisher.topic_type == KINDS[display["Class"]], display["Name"]
        profile = QoSProfile(
            depth=asked["Depth"],
            reliability=ReliabilityPolicy[asked["Reliability Policy"].upper().replace(" ", "_")],
            durability=DurabilityPolicy[asked["Durability Policy"].upper().replace(" ", "_")],
        )
        compatible, reason = qos_check_compatible(publisher.qos_profile, profile)
        assert compatible != QoSCompatibility.ERROR, f"{display['Name']}: {reason}"
        shown.add(asked["Value"].rpartition("/")[2])
    assert shown == {"map_markers", "markers", "path", "pose", "match_image"}


def _layout() -> dict[str, Any]:
    return json.loads((_ROOT / "config" / "foxglove_layout.json").read_text())


def _panels_of(tree: Any) -> list[str]:
    return [tree] if isinstance(tree, str) else _panels_of(tree["first"]) + _panels_of(tree["second"])


def test_foxglove_lays_every_panel_out_once():
    layout = _layout()
    assert sorted(_panels_of(layout["layout"])) == sorted(layout["configById"])


def test_foxglove_shows_topics_and_fields_of_the_node(robot):
    def kind_of(topic: str) -> str:
        return _publisher(robot, topic).topic_type

    panels = _layout()["configById"]
    spatial = [topic for panel in panels.values() for topic in panel.get("topics", {})]
    assert {kind_of(topic) for topic in spatial} == _SPATIAL
    assert kind_of(panels["Image!match"]["imageMode"]["imageTopic"]) == "sensor_msgs/msg/Image"
    assert (
        kind_of(panels["DiagnosticSummary!health"]["topicToRender"]) == "diagnostic_msgs/msg/DiagnosticArray"
    )
    plotted = [path["value"] for path in panels["Plot!probability"]["paths"]]
    for path in (panels["Indicator!state"]["path"], panels["RawMessages!reason"]["topicPath"], *plotted):
        topic, *fields = path.split(".")
        kind = kind_of(topic)
        for field in fields:
            name, is_item = re.sub(r"\[0\]$", "", field), field.endswith("[0]")
            kind = _message(kind).get_fields_and_field_types()[name]
            if is_item:
                kind = kind.removeprefix("sequence<").removesuffix(">").replace("/", "/msg/")


def test_the_demo_records_what_both_views_show():
    named = re.findall(r'"(/[\w/]+)', (_ROOT / "config" / "foxglove_layout.json").read_text())
    own = {"/goal_pose", "/clicked_point", "/initialpose"}  # that Foxglove publishes on
    assert set(topics()) == set(named) - own


def test_foxglove_knows_every_state():
    rules = _layout()["configById"]["Indicator!state"]["rules"]
    assert {rule["label"]: int(rule["rawValue"]) for rule in rules} == {
        name: getattr(PlaceMatches, name) for name in ("LOST", "AMBIGUOUS", "LOCALIZED")
    }
