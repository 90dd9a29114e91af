"""Build a map from a bag: `ros2 launch netvlad_ros build_map.launch.py source:=drive output:=maps/campus`.

Every argument is one of `ros2 run netvlad_ros build_map --help`; what is not given keeps its default.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

_NOT_GIVEN = ""
_OPTIONS = {
    "image_topic": "Images; found by itself where there is only one.",
    "pose_topic": "Odometry, poses, path, GPS fixes or /tf; likewise.",
    "trajectory": "TUM file with poses, instead of a topic.",
    "base_frame": "Frame of the robot (default: base_link).",
    "map_frame": "Root frame of the poses in /tf.",
    "recording_time": "Topic whose stamps are of another clock: the time of recording stands for them.",
    "extrinsics": "'x y z qx qy qz qw': pose, in the base frame, of the frame whose poses are recorded.",
    "weights": "Checkpoint or ONNX file, or packaged; without it the clusters are fitted on the drive.",
    "store_images": "none, thumbnail or full (default: thumbnail).",
    "distance": "A place every so many metres.",
    "angle": "A place at every turn of so many degrees.",
    "time": "A place every so many seconds.",
    "backbone": "Network to fit the clusters for (default: efficientnet_lite0).",
    "backbone_weights": "Checkpoint of the backbone, or imagenet (default: the package's own).",
    "clusters": "Clusters of the NetVLAD layer (default: 64).",
    "whiten": "Dimensions to whiten the descriptor to.",
    "seed": "Seed of the clustering (default: 0).",
    "batch_size": "Images per step of the network (default: what suits the device).",
    "precision": "float32, bfloat16, float16 or int8 (default: that of the weights).",
    "device": "auto, cpu, cuda, cuda:1 (default: auto).",
}
_FLAGS = {
    "every_image": "true: every image is a place.",
    "assignment_bias": "true: assign by distance (equation 2), not by direction.",
    "no_intra_normalization": "true: leave clusters their lengths.",
    "no_poses": "true: accept a drive without poses.",
    "quiet": "true: no progress bar.",
}


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, then start the builder."""
    required = [
        DeclareLaunchArgument("source", description="Bag, catalogue CSV or folder of images."),
        DeclareLaunchArgument("output", description="Folder to write the map to."),
    ]
    optional = [
        DeclareLaunchArgument(name, default_value=_NOT_GIVEN, description=text)
        for name, text in _OPTIONS.items()
    ]
    flags = [
        DeclareLaunchArgument(name, default_value="false", choices=["true", "false"], description=text)
        for name, text in _FLAGS.items()
    ]
    return LaunchDescription([*required, *optional, *flags, OpaqueFunction(function=_start_builder)])


def _start_builder(context: LaunchContext) -> list[Node]:
    arguments = [LaunchConfiguration("source").perform(context)]
    for name in ("output", *_OPTIONS):
        value = LaunchConfiguration(name).perform(context)
        if value != _NOT_GIVEN:
            values = value.split() if name == "extrinsics" else [value]
            arguments += [_option(name), *values]
    arguments += [_option(name) for name in _FLAGS if LaunchConfiguration(name).perform(context) == "true"]
    return [
        Node(
            package="netvlad_ros",
            executable="build_map",
            arguments=arguments,
            output="screen",
            emulate_tty=True,  # for the progress bar
        )
    ]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
