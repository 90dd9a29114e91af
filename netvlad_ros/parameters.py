"""The parameters of the nodes, declared once, typed, ranged and described.

The launch file reads them here too, so nothing heavy is imported.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from netvlad_core.errors import NetvladError
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.model.spec import PRECISIONS
from netvlad_core.settings import Setting, settings_of, today


@dataclass(frozen=True)
class NodeParameter:
    """One parameter; its type is that of the default.

    Attributes
    ----------
    lowest, highest : bounds of a number, both included.
    choices : allowed values of a text.
    formerly : as in `Setting`; these values may be of another type.
    is_live : a change takes effect at once; otherwise when the node is configured the next time.
    is_fixed : the value is read once at the start.
    """

    name: str
    default: Any
    description: str
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    is_live: bool = False
    is_fixed: bool = False
    formerly: tuple[tuple[Any, Any], ...] = ()

    @classmethod
    def of_setting(cls, setting: Setting, is_live: bool) -> NodeParameter:
        """Make a parameter of a setting of the core."""
        bounds, formerly = (setting.low, setting.high), setting.formerly
        return cls(
            setting.name, setting.default, setting.description, *bounds, setting.choices, is_live,
            formerly=formerly,
        )  # fmt: skip

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` tells."""
        when = "Live." if self.is_live else "Fixed." if self.is_fixed else "Read when the node is configured."
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f"{self.description} {when}",
            read_only=self.is_fixed,
            dynamic_typing=bool(self.formerly),
        )
        if self.choices:
            descriptor.additional_constraints = "one of: " + ", ".join(self.choices)
        if self.lowest is None or self.highest is None:
            return descriptor
        if isinstance(self.default, list):
            return descriptor  # ROS has ranges of single numbers only
        if isinstance(self.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(self.lowest), to_value=int(self.highest))]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.lowest), to_value=float(self.highest))
            ]
        return descriptor

    def check(self, value: Any) -> str:
        """Say what is wrong with a value that types and ranges do not catch; empty if nothing is."""
        if self.choices and today(value, self.formerly) not in self.choices:
            return f"{self.name} is {value!r}; expected one of {', '.join(self.choices)}"
        if isinstance(self.default, list) and len(value) != len(self.default):
            return f"{self.name} has {len(value)} numbers; expected {len(self.default)}"
        return ""


class ParameterTable:
    """The parameters of one node: declares them, checks changes and says when these take effect.

    From `configure` to `release` all but the live ones keep the values that they have at the former.
    """

    def __init__(self, node: Node, parameters: Sequence[NodeParameter]) -> None:
        self._node = node
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._kept: dict[str, Any] = {}
        for parameter in parameters:
            node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
        node.add_on_set_parameters_callback(self._on_change)
        self._report_unknown()

    def configure(self) -> None:
        """Check all present values, and keep those that are not live; raises NetvladError."""
        present = {name: self._node.get_parameter(name).value for name in self._parameters}
        for name, value in present.items():
            if refused := self._parameters[name].check(value):
                raise NetvladError(refused)
        self._kept = {name: value for name, value in present.items() if not self._parameters[name].is_live}

    def release(self) -> None:
        """Keep no values."""
        self._kept = {}

    @property
    def is_configured(self) -> bool:
        return bool(self._kept)

    def value(self, name: str) -> Any:
        """Value of a parameter that counts now; that of an array is a list."""
        value = self._kept[name] if name in self._kept else self._node.get_parameter(name).value
        return list(value) if isinstance(value, array) else today(value, self._parameters[name].formerly)

    def _on_change(self, changes: list[Parameter]) -> SetParametersResult:
        later = []
        for change in changes:
            parameter = self._parameters.get(change.name)
            if parameter is None:
                continue
            if refused := parameter.check(change.value):
                return SetParametersResult(successful=False, reason=refused)
            if not parameter.is_live and change.value != self._node.get_parameter(change.name).value:
                later.append(change.name)
        if later and self.is_configured:
            text = f"{', '.join(later)}: takes effect when the node is configured the next time"
            self._node.get_logger().info(text)
        return SetParametersResult(successful=True)

    def _report_unknown(self) -> None:
        """Say which parameters of the command line or of files belong to nobody."""
        # rclpy keeps what was given, but has no public name for it.
        given = getattr(self._node, "_parameter_overrides", {})
        for name in given:
            if self._node.has_parameter(name) or name.startswith("qos_overrides."):
                continue
            near = get_close_matches(name, self._parameters, 1)
            hint = f"; did you mean {near[0]}?" if near else "; `ros2 param list` names all parameters"
            self._node.get_logger().warning(f"there is no parameter {name!r}; its value is ignored{hint}")


# Parameters of every node that listens to a camera.
INPUT_PARAMETERS = (
    NodeParameter(
        "maps_folder",
        "",
        "Folder below which load_map and save_map must stay. If empty, it is the one in which the parameter "
        "map lies; if there is none, no map is written.",
        is_fixed=True,
    ),
    NodeParameter(
        "autostart", True, "Configure and activate at start, without a lifecycle manager.", is_fixed=True
    ),
    NodeParameter("device", "auto", "Device of the network: auto, cpu, cuda, cuda:1, ..."),
    NodeParameter(
        "precision",
        "auto",
        "Arithmetic of the network: float32, bfloat16, float16, int8; auto takes the fastest here.",
        choices=("auto", *PRECISIONS),
    ),
    NodeParameter(
        "image_transport", "raw", "Transport of the images: raw or compressed.", choices=("raw", "compressed")
    ),
    NodeParameter(
        "base_frame",
        "base_link",
        "Frame of the robot's body, whose pose is published and odometry carried to.",
    ),
    NodeParameter(
        "extrinsics",
        "",
        "Pose of the camera's optical frame in base_frame, 'x y z qx qy qz qw', for metric poses. If empty, "
        "it is looked up in /tf_static, then in the map.",
    ),
    NodeParameter(
        "odometry_wait",
        0.5,
        "Longest wait of an image for the odometry of its stamp, in seconds, once there is odometry.",
        0.0,
        10.0,
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
)

# All thresholds of the localizer by name. Verification is prepared for when a map is opened.
SETTINGS = settings_of(LocalizerOptions())
PARAMETERS = (
    NodeParameter("map", "", "Folder of the map to open. If empty, the node waits for the service load_map."),
    NodeParameter(
        "weights",
        "",
        "Checkpoint or ONNX file, or packaged. If empty, it is the network that the map names or has.",
    ),
    NodeParameter(
        "state_file",
        "",
        "File in which the node keeps its map and last place, about once a second; after a restart it opens "
        "that map, if map is empty, and looks near that place first. If empty, it keeps none.",
        is_fixed=True,
    ),
    NodeParameter(
        "fleet_store",
        "",
        "Store of the fleet's maps, a folder or an address such as s3://bucket/fleet, from which the service "
        "fetch_map fetches a newer map.",
        is_fixed=True,
    ),
    NodeParameter(
        "site",
        "",
        "Site of the store whose map is fetched, into the folder of that name below maps_folder, which is "
        "also opened at start if map is empty.",
        is_fixed=True,
    ),
    NodeParameter(
        "recorded_keyframes",
        0,
        "Keyframes of the drive kept in memory, with which save_map can extend the map; 0: none. At this "
        "number every second one is dropped.",
        0,
        1_000_000,
    ),
    *INPUT_PARAMETERS,
    NodeParameter(
        "map_frame", "", "frame_id of published poses. If empty, it is the frame that the map was built in."
    ),
    NodeParameter(
        "publish_initialpose",
        False,
        "Publish initialpose for AMCL and slam_toolbox, once for each relocalization and subscriber.",
    ),
    NodeParameter("publish_map_to_odom", False, "Broadcast the transform map -> odom; needs the topic odom."),
    NodeParameter("map_to_odom_planar", False, "Drop z, roll and pitch from map -> odom, for a 2D stack."),
    NodeParameter(
        "publish_route_place",
        False,
        "Publish ~/route_place, the number of the place along its drive and the heading there, for "
        "topological navigation.",
    ),
    NodeParameter("publish_rtabmap_global_pose", False, "Publish global_pose for RTAB-Map."),
    NodeParameter(
        "publish_cuvslam_hint",
        False,
        "Tell Isaac ROS Visual SLAM the first pose on visual_slam/initial_pose, and one for each "
        "visual_slam/trigger_hint.",
    ),
    NodeParameter(
        "verification_budget",
        -1.0,
        "With verification: milliseconds that it may add to an image, and then it rests for twice as long; "
        "what is left out is counted in /diagnostics. 0.0: no bound, no rest; -1.0: 100 with auto, no bound "
        "with always.",
        -1.0,
        60_000.0,
        is_live=True,
    ),
    NodeParameter("publish_descriptor", True, "Publish ~/descriptor for every image.", is_live=True),
    *(NodeParameter.of_setting(setting, name != "verification") for name, setting in SETTINGS.items()),
)
