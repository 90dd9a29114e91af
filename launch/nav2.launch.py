"""Start the localizer beside Nav2, to tell AMCL where the robot is: at the start and after it was carried.

    ros2 launch netvlad_ros nav2.launch.py map:=maps/campus image_topic:=/camera/image_raw

It comes up by itself, and must be up before Nav2's navigator loads the behavior tree config/find_place.xml,
which calls its service. All arguments of localize.launch.py are understood. With lifecycle_manager:=true a
manager of Nav2 brings it up instead, without a bond, which the node has none of.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, NotSubstitution
from launch_ros.actions import Node

from launch import LaunchDescription

# A manager waits 4 s for a bond unless it is told not to, and from Kilted on 5 s for a transition; opening a
# large map may take longer.
_MANAGER = {"autostart": True, "node_names": ["localizer"], "bond_timeout": 0.0, "service_timeout": 60.0}


def generate_launch_description() -> LaunchDescription:
    """The localizer with its output for AMCL, and its manager if one is asked for."""
    managed, namespace = LaunchConfiguration("lifecycle_manager"), LaunchConfiguration("namespace")
    localize = Path(get_package_share_directory("netvlad_ros")) / "launch" / "localize.launch.py"
    text = "Let a lifecycle manager of Nav2 configure and activate the localizer."
    return LaunchDescription(
        [
            DeclareLaunchArgument("lifecycle_manager", default_value="false", description=text),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of Nav2 and the node."
            ),
            Node(
                package="nav2_lifecycle_manager",
                executable="lifecycle_manager",
                name="lifecycle_manager_localizer",
                namespace=namespace,
                parameters=[_MANAGER],
                condition=IfCondition(managed),
                output="screen",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(localize)),
                launch_arguments={
                    "publish_initialpose": "true",
                    "autostart": NotSubstitution(managed),
                    # Nobody would configure it again.
                    "respawn": NotSubstitution(managed),
                }.items(),
            ),
        ]
    )
