"""Start the localizer: `ros2 launch netvlad_ros localize.launch.py map:=maps/campus image_topic:=/camera`.

Order of precedence: an argument given here, then the parameter file, then the defaults in the code.
"""

import os
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from netvlad_ros.parameters import PARAMETERS

_SHARE = get_package_share_directory("netvlad_ros")
_NOT_GIVEN = ""
_PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, then start the node and, if asked for, rviz."""
    arguments = [
        DeclareLaunchArgument(
            "image_topic", default_value="image", description="Raw image topic of the camera."
        ),
        DeclareLaunchArgument(
            "camera_info_topic", default_value="camera_info", description="Calibration, for verification."
        ),
        DeclareLaunchArgument("odom_topic", default_value="odom", description="Odometry of the robot."),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
        DeclareLaunchArgument(
            "use_sim_time", default_value="false", description="Take the time from /clock."
        ),
        DeclareLaunchArgument(
            "log_level", default_value="info", description="debug, info, warn, error or fatal."
        ),
        DeclareLaunchArgument("rviz", default_value="false", description="Open rviz with a ready view."),
        DeclareLaunchArgument(
            "params_file",
            default_value=os.path.join(_SHARE, "config", "localize.yaml"),
            description="Parameters of the node.",
        ),
        DeclareLaunchArgument(
            "fastdds_profile",
            default_value=os.environ.get(
                _PROFILE_VARIABLE, os.path.join(_SHARE, "config", "fastdds_robot.xml")
            ),
            description="Fast DDS profile with room for images in shared memory.",
        ),
    ]
    arguments += [
        DeclareLaunchArgument(
            parameter.name,
            default_value=_NOT_GIVEN,
            description=f"{parameter.description} Empty: as params_file says, else {parameter.default!r}.",
        )
        for parameter in PARAMETERS
    ]
    profile = SetEnvironmentVariable(_PROFILE_VARIABLE, LaunchConfiguration("fastdds_profile"))
    # A robot's cores are shared: threads of the network that wait busily would take them from all the others.
    waiting = SetEnvironmentVariable("OMP_WAIT_POLICY", os.environ.get("OMP_WAIT_POLICY", "PASSIVE"))
    return LaunchDescription([*arguments, profile, waiting, OpaqueFunction(function=_start_node), _rviz()])


def _start_node(context: LaunchContext) -> list[Node]:
    image_topic = LaunchConfiguration("image_topic").perform(context)
    given: dict[str, Any] = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    for parameter in PARAMETERS:
        text = LaunchConfiguration(parameter.name).perform(context)
        if text != _NOT_GIVEN:
            given[parameter.name] = _typed(parameter.name, text, type(parameter.default))
    node = Node(
        package="netvlad_ros",
        executable="localize_node",
        name="localizer",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), given],
        remappings=[
            ("image", image_topic),
            ("image/compressed", f"{image_topic}/compressed"),
            ("odom", LaunchConfiguration("odom_topic").perform(context)),
            ("camera_info", LaunchConfiguration("camera_info_topic").perform(context)),
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    return [node]


def _typed(name: str, text: str, kind: type) -> Any:
    """Value of an argument: a map called 2024 stays a text, and 10 becomes 10.0 where a float is wanted."""
    if kind is str:
        return text
    value = yaml.safe_load(text)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name}:={text} is no {kind.__name__}")
    return value


def _rviz() -> Node:
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", os.path.join(_SHARE, "rviz", "localize.rviz")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
