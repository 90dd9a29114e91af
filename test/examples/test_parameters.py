"""The parameter files for other programs load as ROS loads them, and name what these programs declare."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")
import rclpy
from rclpy.context import Context
from rclpy.node import Node

_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "parameters"
# What the sources of the programs declare, with the type: robot_localization 3.5 to 3.10, slam_toolbox 2.6 to
# 2.9, Isaac ROS Visual SLAM 3.2 to 4.6, rtabmap_ros 0.23 (whose library's parameters are all texts), and Nav2
# of Humble, Jazzy, Kilted and main. A program that finds another type ends.
_BOOLS, _DOUBLES = list[bool], list[float]
_DECLARED: dict[str, dict[str, Any]] = {
    "robot_localization": {
        "frequency": float, "two_d_mode": bool, "map_frame": str, "odom_frame": str, "base_link_frame": str,
        "world_frame": str, "publish_tf": bool, "odom0": str, "odom0_config": _BOOLS, "pose0": str,
        "pose0_config": _BOOLS, "smooth_lagged_data": bool, "history_length": float,
    },
    "slam_toolbox": {
        "map_file_name": str, "map_start_pose": _DOUBLES, "odom_frame": str, "map_frame": str,
        "base_frame": str, "scan_topic": str, "transform_publish_period": float, "tf_buffer_duration": float,
    },
    "isaac_ros_visual_slam": {
        "enable_localization_n_mapping": bool, "load_map_folder_path": str, "localize_on_startup": bool,
        "enable_request_hint": bool, "localizer_horizontal_radius": float, "localizer_vertical_radius": float,
        "map_frame": str, "base_frame": str, "publish_map_to_odom_tf": bool,
    },
    "rtabmap": {
        "frame_id": str, "map_frame_id": str, "Optimizer/PriorsIgnored": str, "Optimizer/Strategy": str,
        "Mem/GlobalDescriptorStrategy": str, "PyDescriptor/Path": str, "PyDescriptor/Dim": str,
        "Kp/TfIdfLikelihoodUsed": str, "Mem/RehearsalSimilarity": str,
    },
    "nav2/amcl": {"global_frame_id": str, "set_initial_pose": bool},
    "nav2/bt_navigator": {"default_nav_to_pose_bt_xml": str, "wait_for_service_timeout": int},
}  # fmt: skip
_NODES = {
    "robot_localization": "ekf_filter_node_map",
    "slam_toolbox": "slam_toolbox",
    "isaac_ros_visual_slam": "visual_slam_node",
    "rtabmap": "rtabmap",
    "nav2/amcl": "amcl",
    "nav2/bt_navigator": "bt_navigator",
}


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


def _loaded(context: Context, program: str) -> dict[str, Any]:
    """Parameters of a node of that name that is started with the file."""
    file = _FOLDER / f"{program.split('/')[0]}.yaml"
    node = Node(
        _NODES[program],
        context=context,
        cli_args=["--ros-args", "--params-file", str(file)],
        automatically_declare_parameters_from_overrides=True,
    )
    values = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
    node.destroy_node()
    own = ("use_sim_time", "start_type_description_service")  # of every node
    return {
        name: list(value) if isinstance(value, array) else value
        for name, value in values.items()
        if name not in own
    }


def _kind(value: Any) -> Any:
    return list[type(value[0])] if isinstance(value, list) else type(value)  # type: ignore[misc]


@pytest.mark.parametrize("program", _DECLARED)
def test_program_gets_parameters_that_it_declares_in_their_type(context: Context, program: str) -> None:
    found = {name: _kind(value) for name, value in _loaded(context, program).items()}
    assert found == _DECLARED[program]


def test_no_file_and_no_node_in_a_file_goes_untested() -> None:
    nodes = {name for file in _FOLDER.glob("*.yaml") for name in yaml.safe_load(file.read_text())}
    assert nodes == set(_NODES.values())


def test_robot_localization_gets_what_the_localizer_and_the_wheels_measure(context: Context) -> None:
    values = _loaded(context, "robot_localization")
    axes = [
        "x",
        "y",
        "z",
        "roll",
        "pitch",
        "yaw",
        "vx",
        "vy",
        "vz",
        "vroll",
        "vpitch",
        "vyaw",
        "ax",
        "ay",
        "az",
    ]
    taken = {
        name: [axis for axis, is_taken in zip(axes, values[f"{name}_config"], strict=True) if is_taken]
        for name in ("pose0", "odom0")
    }
    assert taken == {"pose0": ["x", "y", "yaw"], "odom0": ["vx", "vy", "vyaw"]}
    assert values["pose0"] == "localizer/pose"
    assert values["world_frame"] == values["map_frame"]
