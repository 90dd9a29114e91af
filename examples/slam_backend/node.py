"""The back end as a node: `odom` and `loop_closures` in, the corrected trajectory at the end."""

from __future__ import annotations

from threading import Lock

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile

from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import Trajectory
from netvlad_ros.conversions import pose_from_message, stamp_to_nanoseconds
from netvlad_ros.msg import LoopClosure

from .pose_graph import PoseGraph


class BackEnd(Node):
    """Collects odometry and closures.

    Attributes
    ----------
    odometry : stamps in nanoseconds and poses odom <- base_link, as they came.
    closures : the messages.
    """

    def __init__(self) -> None:
        super().__init__("slam_backend")
        self.odometry: dict[int, Pose] = {}
        self.closures: list[LoopClosure] = []
        self._lock = Lock()
        self.create_subscription(Odometry, "odom", self._on_odometry, QoSProfile(depth=1000))
        self.create_subscription(
            LoopClosure, "loop_closer/loop_closures", self._on_closure, QoSProfile(depth=100)
        )

    def _on_odometry(self, message: Odometry) -> None:
        with self._lock:
            self.odometry[stamp_to_nanoseconds(message.header.stamp)] = pose_from_message(message.pose.pose)

    def _on_closure(self, message: LoopClosure) -> None:
        with self._lock:
            self.closures.append(message)

    def correct(self, is_robust: bool = True) -> Trajectory:
        """Optimise what has come so far."""
        with self._lock:
            odometry, closures = dict(sorted(self.odometry.items())), list(self.closures)
        graph = PoseGraph(is_robust=is_robust)
        for stamp, pose in odometry.items():
            graph.add_odometry(stamp, pose)
        for closure in closures:
            add_message(graph, closure)
        return graph.optimize()


def add_message(graph: PoseGraph, closure: LoopClosure) -> None:
    """Put a message into a graph."""
    graph.add_closure(
        stamp_to_nanoseconds(closure.from_stamp),
        stamp_to_nanoseconds(closure.to_stamp),
        pose_from_message(closure.relative_pose.pose),
        np.array(closure.relative_pose.covariance).reshape(6, 6),
    )
