"""`initialpose` for Nav2's AMCL and for slam_toolbox in localization mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.localization.localizer import Localization
from netvlad_ros.outputs.pose_message import diagonal_message

if TYPE_CHECKING:
    from netvlad_ros.localize_node import LocalizeNode

# A robot that loses its place for less than this is still where its odometry says.
_LOST_FOR = 5 * 10**9  # nanoseconds


class InitialPose:
    """Sends one pose for each relocalization: these consumers start anew with each they get.

    The first pose is sent when somebody listens, the next one after the robot was lost for five seconds.
    """

    def __init__(self, node: LocalizeNode) -> None:
        self._node = node
        self._publisher = node.create_publisher(PoseWithCovarianceStamped, "initialpose", 10)
        self._is_due = True
        self._lost_since: int | None = None

    def send(self, answer: Localization, header: Header) -> None:
        if answer.prior is None:
            self._note_lost(answer.stamp)
            return
        self._lost_since = None
        if self._is_due and self._publisher.get_subscription_count():
            self._publisher.publish(diagonal_message(answer.prior, header))
            self._node.statistics.count("initialpose published")
            self._is_due = False

    def _note_lost(self, stamp: int) -> None:
        if self._lost_since is None or stamp < self._lost_since:  # the clock may jump back
            self._lost_since = stamp
        if stamp - self._lost_since >= _LOST_FOR:
            self._is_due = True

    def forget(self) -> None:
        self._is_due, self._lost_since = True, None

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)
