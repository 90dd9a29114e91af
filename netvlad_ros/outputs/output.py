"""What an output is, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from std_msgs.msg import Header

from netvlad_core.localization.localizer import Localization
from netvlad_ros.outputs.cuvslam_hint import CuvslamHint
from netvlad_ros.outputs.initial_pose import InitialPose
from netvlad_ros.outputs.map_to_odom import MapToOdom
from netvlad_ros.outputs.rtabmap import GlobalPose

if TYPE_CHECKING:
    from netvlad_ros.localize_node import LocalizeNode


class Output(Protocol):
    """Sends answers on to one consumer, while the node is active."""

    def send(self, answer: Localization, header: Header) -> None:
        """Take one answer; header: stamp of its image, frame of the map."""
        ...

    def forget(self) -> None:
        """Another map is open, or the odometry starts anew: what was said holds no more."""
        ...

    def close(self) -> None:
        """Take back publishers, subscriptions and timers."""
        ...


# By the name of the parameter that turns it on.
OUTPUTS: dict[str, Callable[[LocalizeNode], Output]] = {
    "publish_initialpose": InitialPose,
    "publish_map_to_odom": MapToOdom,
    "publish_rtabmap_global_pose": GlobalPose,
    "publish_cuvslam_hint": CuvslamHint,
}


def open_outputs(node: LocalizeNode) -> list[Output]:
    """The outputs that the node's parameters ask for."""
    return [make(node) for parameter, make in OUTPUTS.items() if node.value(parameter)]
