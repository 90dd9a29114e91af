"""What an output is, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from std_msgs.msg import Header

from netvlad_core.localization.answer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.moment import Moment
from netvlad_ros.outputs.cuvslam_hint import CuvslamHint
from netvlad_ros.outputs.initial_pose import InitialPose
from netvlad_ros.outputs.map_to_odom import MapToOdom
from netvlad_ros.outputs.rtabmap import GlobalPose


class Output(Protocol):
    """Sends answers on to one kind of program while the node is active.

    An output is made with a node, which gives it publishers, a clock and parameters, and with a function
    that counts what it does. Whatever it says of an image is in the answer and the moment.
    """

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        """Take the answer to one moment; header: stamp of its image, frame of the map."""
        ...

    def forget(self) -> None:
        """Another map is open, or the odometry starts anew: what was said holds no more."""
        ...

    def close(self) -> None:
        """Take back publishers, subscriptions and timers."""
        ...


# By the name of the parameter that turns it on.
OUTPUTS: dict[str, Callable[[CameraNode, Callable[[str], None]], Output]] = {
    "publish_initialpose": InitialPose,
    "publish_map_to_odom": MapToOdom,
    "publish_rtabmap_global_pose": GlobalPose,
    "publish_cuvslam_hint": CuvslamHint,
}


def open_outputs(node: CameraNode, count: Callable[[str], None]) -> list[Output]:
    """The outputs that the node's parameters ask for."""
    return [make(node, count) for name, make in OUTPUTS.items() if node.value(name)]
