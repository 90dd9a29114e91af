"""The node's report about itself on /diagnostics: what it did, and what is missing."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from netvlad_ros.diagnostics import status_message

if TYPE_CHECKING:
    from netvlad_ros.localize_node import LocalizeNode

_PERIOD = 1.0
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class HealthReport:
    """Publishes a status every second, in every state of the node."""

    def __init__(self, node: LocalizeNode) -> None:
        self._node = node
        self._is_silent = False
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        # On a steady clock: a simulation that stands still, or that has no /clock, is worth reporting.
        node.create_timer(
            _PERIOD,
            self._publish,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _publish(self) -> None:
        node = self._node
        values = node.statistics.values()
        localizer = node.localizer  # another thread may close the map meanwhile
        if localizer is not None:
            values["map_id"] = localizer.place_map.header.map_id
            values["model_id"] = localizer.extractor.model_id
        topic = node.listening_to
        status = status_message(node.get_fully_qualified_name(), topic or "", self._problem(topic), values)
        header = Header(stamp=node.get_clock().now().to_msg())
        self._publisher.publish(DiagnosticArray(header=header, status=[status]))

    def _problem(self, topic: str | None) -> str | None:
        node = self._node
        if not node.is_configured:
            return node.problem or "not configured"
        if node.localizer is None:
            return "no map is open; call the service load_map or set the parameter map"
        if topic is None:
            return node.problem or "not active"
        silence = monotonic() - node.last_image_time
        if silence < node.value("image_timeout"):
            self._is_silent = False
            return node.problem
        problem = f"no image on {topic} for {silence:.0f} s; {self._image_topics(topic)}"
        if not self._is_silent:
            node.get_logger().warning(problem)
        self._is_silent = True
        return problem

    def _image_topics(self, topic: str) -> str:
        """List what is published, the node's own pictures left out."""
        own = f"{self._node.get_fully_qualified_name()}/"
        seen = [
            f"{name} ({kind.replace('/msg/', '/')})"
            for name, kinds in self._node.get_topic_names_and_types()
            for kind in kinds
            if kind in _IMAGE_TYPES and not name.startswith(own)
        ]
        seen = [text for text in seen if self._node.count_publishers(text.split()[0])]
        return "image topics seen: " + (", ".join(seen) or "none")
