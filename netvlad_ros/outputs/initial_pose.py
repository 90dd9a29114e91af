"""`initialpose` for Nav2's AMCL and for slam_toolbox in localization mode."""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.localization.answer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.moment import Moment
from netvlad_ros.outputs.pose_message import diagonal_message

# A robot that loses its place for less than this is still where its odometry says.
_LOST_FOR = 5 * 10**9  # nanoseconds
# Images may come out of order; a clock that jumps back goes further.
_JUMP = 10**9  # nanoseconds


class InitialPose:
    """Sends one pose for each relocalization to each listener: they start anew with every pose they get.

    A pose is due at the start, after the robot was lost for five seconds and after the clock has jumped
    back. It is sent again when there are more listeners than at the last one: AMCL may come after a recorder.
    """

    def __init__(self, node: CameraNode, count: Callable[[str], None]) -> None:
        self._node = node
        self._count = count
        self._publisher = node.create_publisher(PoseWithCovarianceStamped, "initialpose", 10)
        self._told = 0  # listeners that know of this relocalization
        self._newest = 0
        self._lost_since: int | None = None

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        if moment.stamp < self._newest - _JUMP:
            self.forget()
        self._newest = max(self._newest, moment.stamp)
        if answer.prior is None:
            self._note_lost(moment.stamp)
            return
        self._lost_since = None
        listeners = self._publisher.get_subscription_count()
        if listeners > self._told:
            self._publisher.publish(diagonal_message(answer.prior, header))
            self._count("initialpose published")
        self._told = listeners

    def _note_lost(self, stamp: int) -> None:
        if self._lost_since is None:
            self._lost_since = stamp
        if stamp - self._lost_since >= _LOST_FOR:
            self._told = 0

    def forget(self) -> None:
        self._told, self._newest, self._lost_since = 0, 0, None

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)
