"""Swarm-SLAM: descriptors and local matches of the loop closer, as its front end sends them."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node

from netvlad_core.errors import NetvladError
from netvlad_core.localization.loops.loop_closure import LoopClosure

_DEPTH = 100  # as Swarm-SLAM has it


class SwarmSlam:
    """Publishes `/cslam/global_descriptors`, which all robots hear, and `cslam/local_keyframe_match`.

    The messages have no stamp and no model: all robots must run one network, and number their keyframes as
    the loop closer does, from 0 in the order of `~/descriptor`.

    Raises
    ------
    NetvladError
        If the package of its messages is not installed.
    """

    def __init__(self, node: Node, robot_id: int) -> None:
        try:
            from cslam_common_interfaces import msg
        except ImportError as error:
            raise NetvladError(
                "publish_swarm_slam needs the package cslam_common_interfaces of Swarm-SLAM, which is not "
                "installed; build it in your workspace and source that, or turn the parameter off"
            ) from error
        self._node = node
        self._messages = msg
        self._robot_id = robot_id
        self._descriptors = node.create_publisher(msg.GlobalDescriptors, "/cslam/global_descriptors", _DEPTH)
        self._matches = node.create_publisher(msg.LocalKeyframeMatch, "cslam/local_keyframe_match", _DEPTH)

    def send(self, keyframe: int, descriptor: np.ndarray, closure: LoopClosure | None) -> None:
        """Take a keyframe: its number, descriptor (D,) float32 and the closure that it gave."""
        described = self._messages.GlobalDescriptor(keyframe_id=keyframe, robot_id=self._robot_id)
        described.descriptor = descriptor.astype(np.float64).tolist()
        self._descriptors.publish(self._messages.GlobalDescriptors(descriptors=[described]))
        if closure is not None:
            match = self._messages.LocalKeyframeMatch(
                keyframe0_id=closure.from_id, keyframe1_id=closure.to_id
            )
            self._matches.publish(match)

    def close(self) -> None:
        """Take the topics back."""
        self._node.destroy_publisher(self._descriptors)
        self._node.destroy_publisher(self._matches)
