"""What RViz and Foxglove show of a drive: its messages as a bag for Foxglove, and a drawing of the RViz view.

RViz itself needs a ROS installation, so its displays are drawn here with Matplotlib, each as
`rviz/localize.rviz` sets it, from the messages that the node has published.

  python -m demo.views maps/town demo_output/drives/evening --output views
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import time_ns
from typing import Any

import matplotlib
import numpy as np
import yaml
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from demo.play import Player, Recording, drive
from netvlad_core.data.bags.source import BagSource

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Ellipse

_ROOT = Path(__file__).resolve().parents[1]
_EXECUTABLE = _ROOT / ".build" / "install" / "lib" / "netvlad_ros" / "localize_node"
_VIEW = _ROOT / "rviz" / "localize.rviz"
# What Foxglove shows besides the topics of RViz.
_MORE = {
    "/localizer/matches": "netvlad_ros/msg/PlaceMatches",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
# Displays of RViz, and the type that each takes.
KINDS = {
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Path": "nav_msgs/msg/Path",
    "rviz_default_plugins/PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
}


@dataclass
class Seen(Recording):
    """A recording with what the views show.

    Attributes
    ----------
    shown : (topic, time of arrival in nanoseconds, message), in order.
    """

    shown: list[tuple[str, int, Any]] = field(default_factory=list)


class Spectator(Player):
    """A player that also keeps what the views show."""

    def __init__(self, image_topic: str) -> None:
        super().__init__(image_topic)
        self.recording: Seen = Seen()
        for topic, kind in topics().items():
            self.create_subscription(_type(kind), topic, self._keeper(topic), _quality(topic))

    def _keeper(self, topic: str) -> Callable[[Any], None]:
        return lambda message: self.recording.shown.append((topic, time_ns(), message))


def topics() -> dict[str, str]:
    """Topics of both views, each with its type."""
    return {display["Topic"]["Value"]: KINDS[display["Class"]] for display in _displays()} | _MORE


def write_bag(shown: list[tuple[str, int, Any]], folder: Path) -> None:
    """Write messages as an MCAP bag with their definitions, which Foxglove reads."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted((_ROOT / "msg").glob("*.msg")):
        store.register(get_types_from_msg(path.read_text(encoding="utf-8"), f"netvlad_ros/msg/{path.stem}"))
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kinds = topics()
        connections = {topic: writer.add_connection(topic, kinds[topic], typestore=store) for topic in kinds}
        for topic, time, message in shown:
            writer.write(connections[topic], time, serialize_message(message))


def draw(shown: list[tuple[str, int, Any]], picture: Path) -> None:
    """Draw the displays of the RViz view, from above, as they are after the last message."""
    latest = {topic: message for topic, _, message in shown}
    figure, (space, image) = plt.subplots(1, 2, figsize=(14, 4.4), width_ratios=[1.25, 1], dpi=90)
    for display in _displays():
        message = latest[display["Topic"]["Value"]]
        if display["Class"].endswith("/Image"):
            image.imshow(np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3))
            image.set(title=display["Name"], xticks=[], yticks=[])
        else:
            _DRAWN[display["Class"].partition("/")[2]](space, message, display)
    space.set_aspect("equal")
    space.grid(alpha=0.3)
    frame = latest["/localizer/map_markers"].markers[0].header.frame_id
    space.set(title=f"Fixed Frame: {frame}, from above", xlabel="x, m", ylabel="y, m")
    figure.tight_layout()
    figure.savefig(picture)


def _markers(axes: Any, message: Any, _: dict[str, Any]) -> None:
    for marker in message.markers:
        color = (marker.color.r, marker.color.g, marker.color.b)
        points = np.array([(point.x, point.y) for point in marker.points]).reshape(-1, 2)
        if marker.action == marker.DELETE:
            continue
        if marker.type == marker.TEXT_VIEW_FACING:
            at = marker.pose.position
            axes.text(at.x, at.y, marker.text, color=color, ha="center", va="center", weight="bold")
        elif marker.type == marker.LINE_LIST:
            axes.plot(*points.reshape(-1, 2, 2).transpose(2, 1, 0), color=color, linewidth=1)
        else:
            size = 4 if marker.type == marker.POINTS else 30 * marker.scale.x
            axes.scatter(*points.T, s=size, color=[color], alpha=marker.color.a)


def _path(axes: Any, message: Any, display: dict[str, Any]) -> None:
    points = np.array([(pose.pose.position.x, pose.pose.position.y) for pose in message.poses])
    axes.plot(*points.T, color=_color(display["Color"]), linewidth=2)


def _pose(axes: Any, message: Any, display: dict[str, Any]) -> None:
    pose, covariance = message.pose.pose, message.pose.covariance.reshape(6, 6)[:2, :2]
    yaw = 2 * np.arctan2(pose.orientation.z, pose.orientation.w)
    at, length = (pose.position.x, pose.position.y), display["Shaft Length"]
    axes.arrow(*at, length * np.cos(yaw), length * np.sin(yaw), width=0.5, color=_color(display["Color"]))
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    shown = display["Covariance"]["Position"]
    width, height = 2 * shown["Scale"] * np.sqrt(values[::-1])
    axes.add_patch(
        Ellipse(at, width, height, angle=angle, color=_color(shown["Color"]), alpha=shown["Alpha"])
    )


_DRAWN = {"MarkerArray": _markers, "Path": _path, "PoseWithCovariance": _pose}


def _displays() -> list[dict[str, Any]]:
    view = yaml.safe_load(_VIEW.read_text(encoding="utf-8"))["Visualization Manager"]
    return [display for display in view["Displays"] if "Topic" in display]


def _quality(topic: str) -> QoSProfile:
    """As the view asks for; reliable for the rest."""
    asked: dict[str, str] = next((d["Topic"] for d in _displays() if d["Topic"]["Value"] == topic), {})
    return QoSProfile(
        depth=100,
        reliability=ReliabilityPolicy[asked.get("Reliability Policy", "Reliable").upper().replace(" ", "_")],
        durability=DurabilityPolicy[asked.get("Durability Policy", "Volatile").upper().replace(" ", "_")],
    )


def _type(kind: str) -> Any:
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def _color(text: str) -> tuple[float, ...]:
    return tuple(int(value) / 255 for value in text.split(";"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("map", type=Path)
    parser.add_argument("bag", type=Path, help="drive to play")
    parser.add_argument("--output", type=Path, required=True, help="folder for the bag and the drawing")
    options = parser.parse_args()
    options.output.mkdir(parents=True)
    image_topic = BagSource.open(options.bag).image_topic
    recording = drive(options.bag, image_topic, options.map, _EXECUTABLE, Spectator)
    assert isinstance(recording, Seen)
    write_bag(recording.shown, options.output / "views")
    draw(recording.shown, options.output / "rviz.png")


if __name__ == "__main__":
    main()
