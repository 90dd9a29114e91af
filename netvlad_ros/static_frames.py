"""How the camera is mounted on the robot, from the static transforms on /tf_static."""

from __future__ import annotations

from threading import Lock
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import TransformTree, frame_name, pose_of
from netvlad_core.errors import PoseError
from netvlad_ros.tf_message import TFMessage

_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class StaticFrames:
    """Listens to /tf_static; may be asked from any thread. Without tf2_msgs it hears nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tree = TransformTree()
        self._lock = Lock()
        if TFMessage is not None:
            group = MutuallyExclusiveCallbackGroup()
            node.create_subscription(TFMessage, "/tf_static", self._hear, _QOS, callback_group=group)

    def between(self, frame: str, other: str) -> Pose | None:
        """Return frame <- other, None where static transforms do not join the two."""
        with self._lock:
            return self._tree.fixed_between(frame_name(frame), frame_name(other))

    def _hear(self, message: Any) -> None:
        for stamped in message.transforms:
            parent, child = frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
            try:
                pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            except PoseError as error:
                self._node.get_logger().warning(f"/tf_static, {parent} to {child}: {error}")
                continue
            with self._lock:
                self._tree.add_fixed(parent, child, pose)
