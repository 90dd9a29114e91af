"""The second drive, live: images and odometry of a bag are published in their own time, answers are kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from netvlad_core.progress import bar
from netvlad_ros.conversions import stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.msg import PlaceMatches

_START_TIMEOUT = 120.0
# Seconds; a machine that stood still longer makes the drive later, not faster.
_STALL = 0.5
# After the last image the localizer may still be at work.
_LAST_ANSWER = 3.0


@dataclass
class Recording:
    """What came back over ROS, by the stamp of the image in nanoseconds.

    Attributes
    ----------
    played : stamps of the images published.
    matches, poses : messages of the localizer.
    latency : seconds from the publication of an image to the arrival of its matches.
    """

    played: list[int] = field(default_factory=list)
    matches: dict[int, PlaceMatches] = field(default_factory=dict)
    poses: dict[int, PoseWithCovarianceStamped] = field(default_factory=dict)
    latency: dict[int, float] = field(default_factory=dict)


@contextmanager
def localizer_process(
    executable: Path, map_path: Path, image_topic: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real node on a map, as `ros2 run` would, in a process of its own."""
    is_compressed = image_topic.endswith("/compressed")
    remapped = "image/compressed" if is_compressed else "image"
    parameters = {
        "map": str(map_path),
        "image_transport": "compressed" if is_compressed else "raw",
        "use_sim_time": "true",
    }
    arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
    command = [sys.executable, str(executable), "--ros-args", *arguments, "-r", f"{remapped}:={image_topic}"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


class Player(Node):
    """Publishes images and odometry of a bag with the clock, and records the localizer's answers."""

    def __init__(self, image_topic: str) -> None:
        super().__init__("demo_player")
        is_compressed = image_topic.endswith("/compressed")
        self.image_type = CompressedImage if is_compressed else Image
        self.images = self.create_publisher(self.image_type, image_topic, qos_profile_sensor_data)
        self.odometry = self.create_publisher(Odometry, "/odom", 100)
        self.clock = self.create_publisher(Clock, "/clock", qos_profile_sensor_data)
        self.create_subscription(PlaceMatches, "/localizer/matches", self._on_matches, 100)
        self.create_subscription(PoseWithCovarianceStamped, "/localizer/pose", self._on_pose, 100)
        self.recording = Recording()
        self._sent_at: dict[int, float] = {}

    def play(self, bag: Path, image_topic: str, alive: Callable[[], bool]) -> Recording:
        """Publish images and odometry at the pace of the recording; returns what came back.

        Raises
        ------
        RuntimeError
            If the localizer does not come up, or ends on the way.
        """
        deadline = monotonic() + _START_TIMEOUT
        while not self.images.get_subscription_count():
            if not alive() or monotonic() > deadline:
                raise RuntimeError("the localizer did not start to listen; its log is above")
            sleep(0.1)
        with AnyReader([bag]) as reader:
            images = [c for c in reader.connections if c.topic == image_topic]
            odometry = [c for c in reader.connections if c.msgtype == "nav_msgs/msg/Odometry"][:1]
            started, first = monotonic(), None
            with bar(title="driving", total=sum(c.msgcount for c in images)) as shown:
                for connection, received, raw in reader.messages([*images, *odometry]):
                    first = received if first is None else first
                    ahead = started + (received - first) / 1e9 - monotonic()
                    if ahead < -_STALL:
                        started -= ahead  # else all that is due comes in one burst, as no camera sends it
                    sleep(max(0.0, ahead))
                    self.clock.publish(Clock(clock=stamp_from_nanoseconds(received)))
                    if connection.topic == image_topic:
                        self._publish(raw)
                        shown.update()
                    else:
                        self.odometry.publish(bytes(raw))
                    if not alive():
                        raise RuntimeError("the localizer ended during the drive; its log is above")
        sleep(_LAST_ANSWER)
        return self.recording

    def _publish(self, raw: bytes) -> None:
        stamp = _stamp_of(raw)
        self._sent_at[stamp] = monotonic()
        self.recording.played.append(stamp)
        self.images.publish(bytes(raw))  # as recorded: the bag's encoding is the one of the wire

    def _on_matches(self, message: PlaceMatches) -> None:
        stamp = stamp_to_nanoseconds(message.header.stamp)
        self.recording.latency[stamp] = monotonic() - self._sent_at.get(stamp, monotonic())
        self.recording.matches[stamp] = message

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.recording.poses[stamp_to_nanoseconds(message.header.stamp)] = message


def drive(
    bag: Path, image_topic: str, map_path: Path, executable: Path, kind: type[Player] = Player
) -> Recording:
    """Play a rosbag2 through the localizer by a player of this kind; returns what it has recorded."""
    rclpy.init()
    player = kind(image_topic)
    executor = SingleThreadedExecutor()
    executor.add_node(player)
    spinning = Thread(target=executor.spin, daemon=True)
    spinning.start()
    try:
        with localizer_process(executable, map_path, image_topic) as process:
            return player.play(bag, image_topic, lambda: process.poll() is None)
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        spinning.join(timeout=5)


def _stamp_of(raw: bytes) -> int:
    """Stamp in the header of a serialised message: after four bytes of encapsulation."""
    order = "little" if raw[1] & 1 else "big"
    seconds, nanoseconds = (int.from_bytes(raw[start : start + 4], order) for start in (4, 8))  # type: ignore[arg-type]
    return seconds * 10**9 + nanoseconds
