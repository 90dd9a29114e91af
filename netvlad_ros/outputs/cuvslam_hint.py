"""Isaac ROS Visual SLAM: the pose that it asks for when it cannot find itself in its map."""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import qos_profile_services_default
from std_msgs.msg import Header

from netvlad_core.localization.localizer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.moment import Moment
from netvlad_ros.outputs.pose_message import diagonal_message


class CuvslamHint:
    """Answers each `visual_slam/trigger_hint` with the next pose, on `visual_slam/initial_pose`."""

    def __init__(self, node: CameraNode, count: Callable[[str], None]) -> None:
        self._node = node
        self._count = count
        self._is_asked = False
        self._publisher = node.create_publisher(
            PoseWithCovarianceStamped, "visual_slam/initial_pose", qos_profile_services_default
        )
        self._subscription = node.create_subscription(
            PoseWithCovarianceStamped, "visual_slam/trigger_hint", self._on_trigger, 10
        )

    def _on_trigger(self, message: PoseWithCovarianceStamped) -> None:
        """The message is empty; that it comes is the question."""
        self._is_asked = True

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        if self._is_asked and answer.prior is not None:
            self._is_asked = False
            self._publisher.publish(diagonal_message(answer.prior, header))
            self._count("cuVSLAM hints published")

    def forget(self) -> None:
        pass

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)
