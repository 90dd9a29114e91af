"""The policy of SROS 2 names every topic and service that a running node has, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")
from rclpy.parameter import Parameter

from netvlad_ros.camera_node import CameraNode
from netvlad_ros.localize_node import LocalizeNode
from netvlad_ros.loop_closure_node import LoopClosureNode
from support.robot import wait_until

_POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2_policy.xml"
# In use with another transport, a simulation, tf2_msgs or the messages of Swarm-SLAM.
_ELSEWHERE = {
    "publish": {"/tf", "/cslam/global_descriptors", "/cslam/local_keyframe_match"},
    "subscribe": {"/clock", "/image/compressed", "/parameter_events", "/tf_static"},
    "reply": {"/%s/get_type_description"},  # since Iron
}
_OUTPUTS = ("initialpose", "map_to_odom", "route_place", "rtabmap_global_pose", "cuvslam_hint")


def _allowed(node: str, rule: str) -> set[str]:
    (profile,) = ElementTree.parse(_POLICY).iterfind(f".//profile[@node='{node}']")
    names = {entry.text or "" for group in profile.iterfind(f"*[@{rule}='ALLOW']") for entry in group}
    return {name.replace("~", f"/{node}/") if name.startswith("~") else f"/{name}" for name in names}


def _names(found: Iterable[tuple[str, Any]]) -> set[str]:
    return {name for name, _ in found}


@pytest.mark.parametrize("make", [LocalizeNode, LoopClosureNode])
def test_policy_names_what_the_node_has(ros, map_path, make: Callable[..., CameraNode]):
    values: dict[str, Any] = {"map": str(map_path)}
    if make is LocalizeNode:
        values |= {f"publish_{output}": True for output in _OUTPUTS}
    node = make(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
    name, namespace = node.get_name(), node.get_namespace()
    found = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
    }
    try:
        for rule, ask in found.items():
            allowed = _allowed(name, rule)
            optional = {topic.replace("%s", name) for topic in _ELSEWHERE[rule]}
            # The names come from the graph, which hears of the node's own parts a moment later.
            wait_until(
                lambda ask=ask, allowed=allowed, optional=optional: (
                    allowed - optional <= _names(ask(name, namespace)) <= allowed
                ),
                10,
                f"{rule}: {sorted(allowed)}, found {sorted(_names(ask(name, namespace)))}",
            )
    finally:
        node.destroy_node()
