"""Isaac ROS Visual SLAM: the pose near which it looks for itself in its map."""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import qos_profile_services_default
from std_msgs.msg import Header

from netvlad_core.localization.answer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.moment import Moment
from netvlad_ros.outputs.pose_message import diagonal_message


class CuvslamHint:
    """Sends a first pose on `visual_slam/initial_pose`, and one for each `visual_slam/trigger_hint`.

    Isaac ROS asks by a trigger only after a pose with which it did not find itself, so it needs a first one.
    """

    def __init__(self, node: CameraNode, count: Callable[[str], None]) -> None:
        self._node = node
        self._count = count
        self._is_due = True
        self._publisher = node.create_publisher(
            PoseWithCovarianceStamped, "visual_slam/initial_pose", qos_profile_services_default
        )
        self._subscription = node.create_subscription(
            PoseWithCovarianceStamped, "visual_slam/trigger_hint", self._on_trigger, 10
        )

    def _on_trigger(self, message: PoseWithCovarianceStamped) -> None:
        """The message is empty; that it comes is the question."""
        self._is_due = True

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        if self._is_due and answer.prior is not None and self._publisher.get_subscription_count():
            self._is_due = False
            self._publisher.publish(diagonal_message(answer.prior, header))
            self._count("cuVSLAM hints published")

    def forget(self) -> None:
        self._is_due = True

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)
