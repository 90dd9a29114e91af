"""The parameters of the localizer node, declared once, typed, ranged and described.

The launch file reads them here too, so nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter

from netvlad_core.model.spec import PRECISIONS

# A similarity threshold below any similarity means: the map's own.
MAPS_OWN_SIMILARITY = -1.0


@dataclass(frozen=True)
class NodeParameter:
    """One parameter; its type is that of the default.

    Attributes
    ----------
    lowest, highest : bounds of a number, both included.
    choices : allowed values of a text.
    is_live : a change takes effect at once; otherwise when the node is configured the next time.
    """

    name: str
    default: Any
    description: str
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    is_live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(name=self.name, description=self.description)
        if self.choices:
            descriptor.additional_constraints = "one of: " + ", ".join(self.choices)
        if self.lowest is None or self.highest is None:
            return descriptor
        if isinstance(self.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(self.lowest), to_value=int(self.highest))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.lowest), to_value=float(self.highest))
            ]
        return descriptor


PARAMETERS = (
    NodeParameter("map", "", "Folder of the map to open; empty waits for the service load_map."),
    NodeParameter(
        "weights",
        "",
        "Checkpoint or ONNX file of the network; empty takes the one that the map names or has.",
    ),
    NodeParameter("device", "auto", "Where the network runs: auto, cpu, cuda, cuda:1, ..."),
    NodeParameter(
        "precision",
        "auto",
        "Arithmetic of the network: float32, bfloat16, float16, int8; auto takes that of the weights.",
        choices=("auto", *PRECISIONS),
    ),
    NodeParameter("autostart", True, "Configure and activate at start, without a lifecycle manager."),
    NodeParameter("image_transport", "raw", "Which image topic is read.", choices=("raw", "compressed")),
    NodeParameter("map_frame", "map", "frame_id of the poses that are published."),
    NodeParameter("base_frame", "base_link", "Frame of the robot's body, whose pose is published."),
    NodeParameter(
        "publish_initialpose",
        False,
        "Publish initialpose once for each relocalization, for Nav2's AMCL and slam_toolbox.",
    ),
    NodeParameter("publish_map_to_odom", False, "Broadcast the transform map -> odom; needs the topic odom."),
    NodeParameter("publish_rtabmap_global_pose", False, "Publish global_pose for RTAB-Map."),
    NodeParameter(
        "publish_cuvslam_hint",
        False,
        "Answer visual_slam/trigger_hint of Isaac ROS Visual SLAM with visual_slam/initial_pose.",
    ),
    NodeParameter(
        "sequence_filter",
        True,
        "Judge images as a drive, with odometry from odom; false judges each one by itself.",
        is_live=True,
    ),
    NodeParameter(
        "min_belief",
        0.9,
        "With the sequence filter: probability of a place from which the state is LOCALIZED.",
        0.05,
        1.0,
        is_live=True,
    ),
    NodeParameter(
        "verification",
        False,
        "Hold matches against the images in the map; gives a metric pose where the camera is calibrated.",
    ),
    NodeParameter(
        "min_inliers",
        30,
        "With verification: local features that must agree for a place to be confirmed.",
        8,
        10_000,
        is_live=True,
    ),
    NodeParameter("top_k", 10, "Matches published for each image.", 1, 1000, is_live=True),
    NodeParameter(
        "min_similarity",
        MAPS_OWN_SIMILARITY,
        "For a single image: best similarity below which the state is LOST; -1 takes the map's threshold.",
        -1.0,
        1.0,
        is_live=True,
    ),
    NodeParameter(
        "min_agreement",
        0.5,
        "For a single image: share of the matches' weight that must support one pose, else AMBIGUOUS.",
        0.0,
        1.0,
        is_live=True,
    ),
    NodeParameter(
        "agreement_radius",
        10.0,
        "Metres within which two matches support the same pose.",
        0.0,
        1000.0,
        is_live=True,
    ),
    NodeParameter(
        "image_timeout",
        5.0,
        "Seconds without an image after which the node warns and lists the image topics it sees.",
        0.1,
        3600.0,
        is_live=True,
    ),
    NodeParameter("publish_descriptor", True, "Publish ~/descriptor for every image.", is_live=True),
)


def declare_parameters(node: Node | LifecycleNode, parameters: Sequence[NodeParameter] = PARAMETERS) -> None:
    """Declare parameters on a node, with descriptions and ranges."""
    for parameter in parameters:
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())


def reason_to_refuse(changes: list[Parameter]) -> str | None:
    """Say what is wrong with a change that types and ranges do not catch; None when nothing is."""
    choices = {parameter.name: parameter.choices for parameter in PARAMETERS if parameter.choices}
    for change in changes:
        allowed = choices.get(change.name)
        if allowed and change.value not in allowed:
            return f"{change.name} is {change.value!r}; expected one of {', '.join(allowed)}"
    return None


def names_for_later(changes: list[Parameter]) -> list[str]:
    """Names of the changed parameters that are read only when the node is configured."""
    changed = {change.name for change in changes}
    return [p.name for p in PARAMETERS if p.name in changed and not p.is_live]
