"""Start the localizer: `ros2 launch netvlad_ros localize.launch.py map:=maps/campus image_topic:=/camera`."""

from launch import LaunchDescription
from netvlad_ros.launching import describe
from netvlad_ros.parameters import PARAMETERS


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, then start rviz if asked for, and the node."""
    return describe("localize_node", "localizer", PARAMETERS, "localize.yaml", "localize.rviz")
