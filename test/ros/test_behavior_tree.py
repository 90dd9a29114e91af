"""The behavior tree for Nav2 has nodes that each release has, and calls the localizer's service."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

_TREE = Path(__file__).resolve().parents[2] / "config" / "find_place.xml"
# Ports that the nodes of Nav2 have in Humble (3c3db59), Jazzy (f4108e5), Kilted (71a1d84) and main (a3a9704)
# alike, from nav2_tree_nodes.xml; the last three are of BehaviorTree.CPP.
_PORTS = {
    "RecoveryNode": {"number_of_retries"},
    "PipelineSequence": set(),
    "RoundRobin": set(),
    "RateController": {"hz"},
    "GoalUpdated": set(),
    "ComputePathToPose": {"goal", "start", "planner_id", "path", "server_name", "server_timeout"},
    "FollowPath": {"controller_id", "path", "goal_checker_id", "server_name", "server_timeout"},
    "ClearEntireCostmap": {"service_name", "server_timeout"},
    "ReinitializeGlobalLocalization": {"service_name", "server_timeout"},
    "Spin": {"spin_dist", "time_allowance", "server_name", "server_timeout"},
    "Wait": {"wait_duration", "server_name", "server_timeout"},
    "BackUp": {"backup_dist", "backup_speed", "time_allowance", "server_name", "server_timeout"},
    "ReactiveFallback": set(),
    "Sequence": set(),
    "BehaviorTree": {"ID"},
}


def test_tree_has_nodes_and_ports_of_every_release() -> None:
    root = ElementTree.parse(_TREE).getroot()
    assert root.attrib == {"BTCPP_format": "4", "main_tree_to_execute": root[0].attrib["ID"]}
    elements = list(root.iter())[1:]
    for element in elements:
        assert set(element.attrib) - {"name"} <= _PORTS[element.tag], element.tag
    for recovery in (element for element in elements if element.tag == "RecoveryNode"):
        assert len(recovery) == 2, "a RecoveryNode has an action and its recovery"


def test_tree_calls_the_service_of_the_localizer_and_gives_it_time() -> None:
    """The name is relative, as that of the node: the test of `initialpose` calls the same one."""
    root = ElementTree.parse(_TREE).getroot()
    (call,) = root.iter("ReinitializeGlobalLocalization")
    assert call.attrib["service_name"] == "localizer/reinitialize_global_localization"
    assert int(call.attrib["server_timeout"]) >= 1000
