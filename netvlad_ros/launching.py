"""What the launch files of both nodes have in common.

Order of precedence: an argument of the launch file, then the parameter file, then the defaults in the code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, SetEnvironmentVariable
from launch.events.process import ProcessExited, ShutdownProcess
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path
from netvlad_core.mapping.map_header import HEADER_FILE, MapHeader
from netvlad_ros.parameters import NodeParameter
from netvlad_ros.process import CANNOT_START

_NOT_GIVEN = ""
_SWITCH = ("true", "false")
_LEVELS = ("debug", "info", "warn", "error", "fatal")
_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"


def describe(
    executable: str,
    name: str,
    parameters: Sequence[NodeParameter],
    config: str,
    rviz: str = "",
) -> LaunchDescription:
    """A launch description that declares everything a node takes, and starts it.

    Parameters
    ----------
    executable, name : of the node.
    parameters : each is an argument, those of groups ("sequence.sharpness") belong in the parameter file.
    config, rviz : names of the files in config/ and rviz/; without the latter RViz is not offered.
    """
    share = Path(get_package_share_directory("netvlad_ros"))
    offered = [parameter for parameter in parameters if "." not in parameter.name]
    declared = _arguments(share, offered, config)
    actions: list[Any] = []
    if rviz:
        declared += [
            _argument("rviz", "false", "Open RViz with a view of the topics of the node.", _SWITCH),
            _argument("rviz_config", str(share / "rviz" / rviz), "View; namespace and frame are filled in."),
        ]
        # Before the node: if RViz is not installed, nothing is left running.
        actions.append(OpaqueFunction(function=_rviz, args=[name]))
    start = OpaqueFunction(function=_start, args=[executable, name, offered])
    environment = [
        SetEnvironmentVariable(_PROFILE, LaunchConfiguration("fastdds_profile")),
    ]
    return LaunchDescription([*declared, *environment, *actions, start])


def _arguments(share: Path, parameters: Sequence[NodeParameter], config: str) -> list[DeclareLaunchArgument]:
    profile = os.environ.get(_PROFILE, str(share / "config" / "fastdds_robot.xml"))
    return [
        _argument("image_topic", "image", "Raw image topic of the camera."),
        _argument(
            "camera_info_topic", _NOT_GIVEN, "Calibration. Default: camera_info beside the image topic."
        ),
        _argument("odom_topic", "odom", "Odometry of the robot."),
        _argument("tf_topic", "/tf", "Topic of transforms; tf is in the namespace of the node."),
        _argument("namespace", _NOT_GIVEN, "Namespace of the node."),
        _argument("use_sim_time", "false", "Use the time on /clock.", _SWITCH),
        _argument("log_level", "info", "Lowest severity of the messages in the log.", _LEVELS),
        _argument("respawn", "true", "Start the node again if it dies.", _SWITCH),
        _argument("respawn_delay", "2.0", "Seconds from the death of the node to its next start."),
        _argument("params_file", str(share / "config" / config), "Parameter file of the node."),
        _argument("fastdds_profile", profile, "Fast DDS profile with room for images in shared memory."),
        *(
            _argument(
                parameter.name,
                _NOT_GIVEN,
                f"{parameter.description} Default: the value in params_file, else {parameter.default!r}.",
                _choices(parameter),
            )
            for parameter in parameters
        ),
    ]


def _choices(parameter: NodeParameter) -> tuple[str, ...]:
    choices = _SWITCH if isinstance(parameter.default, bool) else parameter.choices
    return (*choices, _NOT_GIVEN) if choices else ()


def _argument(name: str, default: str, text: str, choices: Sequence[str] = ()) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        name, default_value=default, description=text, choices=list(choices) if choices else None
    )


def _start(
    context: LaunchContext, executable: str, name: str, parameters: Sequence[NodeParameter]
) -> list[Node]:
    value = _reader(context)
    given: dict[str, Any] = {"use_sim_time": value("use_sim_time") == "true"}
    for parameter in parameters:
        text = value(parameter.name)
        if text != _NOT_GIVEN:
            given[parameter.name] = _typed(parameter.name, text, type(parameter.default))
    image, info = value("image_topic"), value("camera_info_topic")
    remappings = [
        ("image", image),
        ("image/compressed", f"{image}/compressed"),
        ("odom", value("odom_topic")),
        *_transforms(value),
    ]
    if info != _NOT_GIVEN:
        remappings.append(("camera_info", info))
    node = Node(
        package="netvlad_ros",
        executable=executable,
        name=name,
        namespace=value("namespace"),
        parameters=[value("params_file"), given],
        remappings=remappings,
        arguments=["--ros-args", "--log-level", value("log_level")],
        respawn=value("respawn") == "true",
        respawn_delay=_typed("respawn_delay", value("respawn_delay"), float),
        on_exit=_give_up,
        output="screen",
    )
    return [node]


def _transforms(value: Callable[[str], str]) -> list[tuple[str, str]]:
    return [] if value("tf_topic") == "/tf" else [("/tf", value("tf_topic"))]


def _give_up(event: ProcessExited, context: LaunchContext) -> list[EmitEvent]:
    """Call the next start off, in the delay before it, if it would fail like this one."""
    if event.returncode != CANNOT_START:
        return []
    return [EmitEvent(event=ShutdownProcess(process_matcher=lambda action: action is event.action))]


def _typed(name: str, text: str, kind: type) -> Any:
    """Value of an argument: a map called 2024 stays a text, and 10 becomes 10.0 if a float is wanted."""
    if kind is str:
        return text
    value = yaml.safe_load(text)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name}:={text} is not of type {kind.__name__}")
    return value


def _rviz(context: LaunchContext, name: str) -> list[Node]:
    """RViz in the namespace of the node, with a view of its topics in the frame of its poses."""
    value = _reader(context)
    if value("rviz") != "true":
        return []
    namespace = value("namespace").strip("/")
    topics = f"/{namespace}/{name}/" if namespace else f"/{name}/"
    text = user_path(value("rviz_config")).read_text(encoding="utf-8").replace(f"/{name}/", topics)
    text = text.replace("Fixed Frame: map", f"Fixed Frame: {value('map_frame') or _frame_of(value('map'))}")
    with NamedTemporaryFile("w", suffix=".rviz", delete=False, encoding="utf-8") as file:
        file.write(text)
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=namespace,
            arguments=["-d", file.name],
            parameters=[{"use_sim_time": value("use_sim_time") == "true"}],
            remappings=_transforms(value),
        )
    ]


def _frame_of(map_path: str) -> str:
    """Frame of a map; "map" if it cannot be read, which the node says better."""
    try:
        return MapHeader.read(user_path(map_path) / HEADER_FILE).frame_id
    except NetvladError:
        return "map"


def _reader(context: LaunchContext) -> Callable[[str], str]:
    return lambda name: str(LaunchConfiguration(name).perform(context))
