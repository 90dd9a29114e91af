"""How the frames of the robot lie to each other, from the static transforms on /tf_static."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import TransformTree, frame_name, pose_of
from netvlad_core.errors import PoseError
from netvlad_ros.tf_message import TFMessage

_TOPIC = "/tf_static"
_MOST_TOLD = 20  # odd transforms that the log names, each once
_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class StaticFrames:
    """Listens to static transforms; may be asked from any thread. Without tf2_msgs it hears nothing.

    Robots that share a network often have the same frame names, each in the tf_static of its namespace. So
    the topic in the innermost namespace of the robot's own topics counts, if it has transforms, and
    /tf_static otherwise. If /tf_static is remapped, the topic that it is remapped to is the only one.

    Parameters
    ----------
    topics : of the robot, whose namespaces are looked at.

    Attributes
    ----------
    may_hear : whether tf2_msgs is installed.
    """

    def __init__(self, node: Node, topics: Sequence[str] = ("image", "odom")) -> None:
        self._node = node
        self._lock = Lock()
        self._trees: dict[str, TransformTree] = {}
        self._told: set[str] = set()
        self.may_hear = TFMessage is not None
        for topic in candidates(node, topics) if self.may_hear else ():
            self._trees[topic] = TransformTree()
            group = MutuallyExclusiveCallbackGroup()
            node.create_subscription(TFMessage, topic, partial(self._hear, topic), _QOS, callback_group=group)

    def between(self, frame: str, other: str) -> Pose | None:
        """Return frame <- other, None if static transforms do not join the two."""
        with self._lock:
            tree = next((tree for tree in self._trees.values() if tree.frames), TransformTree())
            return tree.fixed_between(frame_name(frame), frame_name(other))

    def _hear(self, topic: str, message: Any) -> None:
        for stamped in message.transforms:
            parent, child = frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
            try:
                pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            except PoseError as error:
                self._tell(f"{topic}, {parent} to {child}: {error}")
                continue
            with self._lock:
                self._trees[topic].add_fixed(parent, child, pose)

    def _tell(self, text: str) -> None:
        if text not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(text)
            self._node.get_logger().warning(text)


def candidates(node: Node, topics: Sequence[str]) -> list[str]:
    """Topics of static transforms, the innermost namespace first."""
    remapped = node.resolve_topic_name(_TOPIC)
    if remapped != _TOPIC:
        return [remapped]
    found = {_TOPIC}
    for topic in topics:
        namespace = node.resolve_topic_name(topic)
        while namespace := namespace.rpartition("/")[0]:
            found.add(namespace + _TOPIC)
    return sorted(found, key=len, reverse=True)
