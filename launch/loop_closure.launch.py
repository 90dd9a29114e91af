"""Start the loop closure node: `ros2 launch netvlad_ros loop_closure.launch.py image_topic:=/camera`."""

from launch import LaunchDescription
from netvlad_ros.launching import describe
from netvlad_ros.loop_closure_parameters import PARAMETERS


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, then start the node."""
    return describe("loop_closure_node", "loop_closer", PARAMETERS, "loop_closure.yaml")
