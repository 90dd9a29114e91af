"""The parameters of the loop closure node, declared once, typed, ranged and described."""

from __future__ import annotations

from dataclasses import replace

from rclpy.node import Node

from netvlad_core.errors import NetvladError
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.mapping.keyframes import KeyframeRule
from netvlad_ros.parameters import NodeParameter

_DEFAULTS = LoopClosureOptions()
# Wrong pairs of real streets reach 34 inliers; each image is held against five places, for time.
_VERIFICATION = VerificationOptions(min_inliers=40, most_places=5)

PARAMETERS = (
    NodeParameter(
        "weights",
        "",
        "Checkpoint or ONNX file of the network; empty takes that of the map, or the package's.",
    ),
    NodeParameter("map", "", "Map of an earlier drive: its places are looked for too, save_map extends it."),
    NodeParameter("device", "auto", "Where the network runs: auto, cpu, cuda, cuda:1, ..."),
    NodeParameter("image_transport", "raw", "Which image topic is read.", choices=("raw", "compressed")),
    NodeParameter("base_frame", "base_link", "Frame of the robot's body, to which odometry is carried."),
    NodeParameter("keyframe_distance", 1.0, "Metres from one keyframe to the next.", 0.01, 1000.0),
    NodeParameter(
        "most_keyframes",
        _DEFAULTS.most_keyframes,
        "Bound of memory: when there are so many, every second one goes and their distance doubles.",
        10,
        10_000_000,
    ),
    NodeParameter("min_time", _DEFAULTS.min_time, "Seconds between a place and its return.", 0.0, 1e6),
    NodeParameter("min_way", _DEFAULTS.min_way, "Metres of driving between them.", 0.0, 1e6),
    NodeParameter(
        "min_score",
        _DEFAULTS.min_score,
        "Likeness of the last metres to the place: 0 a usual pair of images, 1 neighbours of the drive.",
        0.0,
        10.0,
    ),
    NodeParameter(
        "min_margin", _DEFAULTS.min_margin, "Likeness by which every other place must be beaten.", 0.0, 10.0
    ),
    NodeParameter(
        "verification",
        True,  # streets of look-alike houses close by look alone, see docs/back_ends.md
        "Hold images against those of the places; gives metric poses where the camera is calibrated.",
    ),
    NodeParameter(
        "min_inliers",
        _VERIFICATION.min_inliers,
        "With verification: local features that must agree for a place to be confirmed.",
        8,
        10_000,
    ),
    NodeParameter(
        "extrinsics",
        "",
        "Pose of the camera's optical frame in the base frame, 'x y z qx qy qz qw', for metric poses; empty "
        "takes that of /tf_static, or else of the map.",
    ),
    NodeParameter(
        "store_images",
        "none",
        "Images in the maps that save_map writes; full needs verification.",
        choices=("none", "full"),
    ),
    NodeParameter("publish_swarm_slam", False, "Publish descriptors and local matches for Swarm-SLAM."),
    NodeParameter("robot_id", 0, "Of this robot in Swarm-SLAM.", 0, 2**31 - 1),
)


def closer_options(node: Node) -> LoopClosureOptions:
    """Options of the loop closer from the node's parameters; raises NetvladError where they contradict."""
    value = {parameter.name: node.get_parameter(parameter.name).value for parameter in PARAMETERS}
    if value["store_images"] not in ("none", "full"):
        raise NetvladError(f"store_images is {value['store_images']!r}; expected none or full")
    if value["store_images"] == "full" and not value["verification"]:
        raise NetvladError("store_images is full, but images are kept with verification only: turn it on")
    verification = replace(_VERIFICATION, min_inliers=value["min_inliers"])
    return LoopClosureOptions(
        verification=verification if value["verification"] else None,
        keyframes=KeyframeRule(distance=value["keyframe_distance"]),
        most_keyframes=value["most_keyframes"],
        min_time=value["min_time"],
        min_way=value["min_way"],
        min_score=value["min_score"],
        min_margin=value["min_margin"],
    )
