"""Both nodes for as long as told: memory, threads, open files and latency over time, and the fate of images.

The nodes are processes of their own, fed over DDS with JPEG images and odometry of one drive that goes to and
fro: the rendered town, or any source of `netvlad build-map` that has poses. The localizer follows it in a map
of the same drive; the loop closer keeps so few keyframes that it reaches the bound of its memory, and thins
them out, as on a drive of hours. Writes soak.json and soak.png.

example:
  python -m benchmarks.soak --minutes 10 --output docs
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, sleep, time_ns
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from benchmarks._measure import parser, print_table
from benchmarks.node_overhead import resident_megabytes
from netvlad_core.data.frames import FrameSource
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import open_source
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.msg import PlaceMatches
from town.drives import FIRST, write_drive

_TOWN = 200.0  # metres of the rendered drive
_MOST_IMAGES = 600  # of a source; more make the publisher large, not the test better
_KEYFRAMES = 400  # the bound of the loop closer
_START = 60.0  # seconds in which both nodes listen
_PROGRAM = "import sys; from netvlad_ros.process import run; sys.exit(run([{!r}, *sys.argv[1:]]))"
_LAST_REPORT = 3.0  # seconds in which diagnostics have told of the last image
_AGE = "age when done (ms, "


@dataclass(frozen=True)
class View:
    """One image of the drive as it is sent."""

    jpeg: bytes
    pose: Pose


@dataclass(frozen=True)
class Sample:
    """One process at one moment.

    Attributes
    ----------
    minutes : since the first image.
    memory : resident megabytes.
    files : open descriptors.
    latency : milliseconds from the stamp of an image to its answer; NaN if there was none. The median since
        the last sample by our own clock for the localizer, that of the last hundred by the node's for the
        loop closer.
    slow : the same, 95 % (the localizer's only).
    """

    minutes: float
    memory: float
    threads: int
    files: int
    latency: float
    slow: float


@dataclass(frozen=True)
class Fate:
    """What became of the images, by the node's own count; `lost` is what nobody accounts for."""

    sent: int
    received: int
    used: int
    overtaken: int
    left_out: int

    @property
    def lost(self) -> int:
        return self.received - self.used - self.overtaken - self.left_out


class Robot(Node):
    """Publishes the drive, and hears the answers and the diagnostics of both nodes."""

    def __init__(self, namespace: str) -> None:
        super().__init__("robot", namespace=namespace)
        self.images = self.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
        self._odometry = self.create_publisher(Odometry, "odom", 50)
        self.create_subscription(PlaceMatches, "localizer/matches", self._on_matches, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.sent = self.answered = 0
        self.latencies: list[float] = []
        self.values: dict[str, dict[str, str]] = defaultdict(dict)

    def show(self, view: View) -> None:
        stamp = stamp_from_nanoseconds(time_ns())
        odometry = Odometry(header=Header(stamp=stamp, frame_id="odom"), child_frame_id="base_link")
        odometry.pose.pose = pose_to_message(view.pose)
        image = CompressedImage(header=Header(stamp=stamp, frame_id="camera"), format="jpeg")
        image.data = view.jpeg
        self._odometry.publish(odometry)
        self.images.publish(image)
        self.sent += 1

    def count(self, node: str, what: str) -> int:
        return int(self.values[node].get(what, 0))

    def latency(self, node: str) -> float:
        """Milliseconds, median of the last images by the node's own clock."""
        values = self.values[node].items()
        return next((float(value) for key, value in values if key.startswith(_AGE)), float("nan"))

    def _on_matches(self, message: PlaceMatches) -> None:
        self.answered += 1
        self.latencies.append((time_ns() - stamp_to_nanoseconds(message.header.stamp)) / 1e6)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            namespace, _, node = status.name.rpartition("/")
            if namespace == self.get_namespace():
                self.values[node] = {value.key: value.value for value in status.values}


@contextmanager
def running(executable: str, namespace: str, **parameters: object) -> Iterator[int]:
    """A node in a process of its own; gives its id."""
    options = ["-r", f"__ns:={namespace}", "-p", "image_transport:=compressed"]
    for name, value in parameters.items():
        options += ["-p", f"{name}:={value}"]
    program = _PROGRAM.format(executable)
    process = subprocess.Popen([sys.executable, "-c", program, "--ros-args", *options])
    try:
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"{executable} ended by itself with status {process.returncode}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def views_of(source: FrameSource) -> list[View]:
    """The drive as it is sent, at most `_MOST_IMAGES` of its first images that have poses."""
    views: list[View] = []
    for frame in source:
        if frame.pose is not None and len(views) < _MOST_IMAGES:
            encoded = cv2.imencode(".jpg", frame.decode()[..., ::-1])[1]
            views.append(View(encoded.tobytes(), frame.pose))
    return views


def sample(robot: Robot, node: str, pid: int, minutes: float, latencies: list[float]) -> Sample:
    tasks, files = (len(list(Path(f"/proc/{pid}/{what}").iterdir())) for what in ("task", "fd"))
    middle, slow = robot.latency(node), float("nan")
    if latencies:
        middle, slow = np.percentile(latencies, (50, 95))
    return Sample(minutes, resident_megabytes(pid), tasks, files, float(middle), float(slow))


def drive(
    robot: Robot, views: list[View], pids: dict[str, int], minutes: float, rate: float
) -> dict[str, list[Sample]]:
    """Go to and fro; returns some hundred samples of each node."""
    to_and_fro = [*views, *views[-2:0:-1]]
    samples: dict[str, list[Sample]] = {node: [] for node in pids}
    pause = max(1.0, 60 * minutes / 200)
    started = last = monotonic()
    for number in range(round(60 * minutes * rate)):
        robot.show(to_and_fro[number % len(to_and_fro)])
        if monotonic() - last > pause:
            last = monotonic()
            latencies, robot.latencies = robot.latencies, []
            for node, pid in pids.items():
                own = latencies if node == "localizer" else []
                samples[node].append(sample(robot, node, pid, (last - started) / 60, own))
        sleep(max(0.0, started + (number + 1) / rate - monotonic()))
    sleep(_LAST_REPORT)
    return samples


def fate(robot: Robot, node: str) -> Fate:
    keys = ("images received", "images used", "images overtaken by a newer one", "images left out")
    return Fate(robot.sent, *(robot.count(node, key) for key in keys))


def soak(place_map: Path, views: list[View], minutes: float, rate: float) -> dict[str, Any]:
    """Run both nodes; returns what soak.json holds."""
    namespace = f"/soak_{os.getpid()}"
    rclpy.init()
    robot = Robot(namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(robot)
    spinning = Thread(target=executor.spin, daemon=True)
    spinning.start()
    load = os.getloadavg()[0]
    try:
        with (
            running("localize_node", namespace, map=place_map) as localizer,
            running("loop_closure_node", namespace, most_keyframes=_KEYFRAMES) as closer,
        ):
            deadline = monotonic() + _START
            while robot.images.get_subscription_count() < 2:
                if monotonic() > deadline:
                    raise TimeoutError("the nodes do not listen to the images")
                sleep(0.1)
            samples = drive(robot, views, {"localizer": localizer, "loop_closer": closer}, minutes, rate)
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        spinning.join(timeout=5)
    fates = {node: fate(robot, node) for node in samples}
    return {
        "minutes": minutes,
        "rate": rate,
        "images of the drive": len(views),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load average before and after": [load, os.getloadavg()[0]],
        "answers heard": robot.answered,
        "closures": robot.count("loop_closer", "closures"),
        "images": {node: asdict(seen) | {"lost": seen.lost} for node, seen in fates.items()},
        "samples": {node: [asdict(moment) for moment in moments] for node, moments in samples.items()},
    }


_PANELS = (
    ("memory", "resident memory (MB)"),
    ("latency", "stamp to answer,\nmedian (ms)"),
    ("threads", "threads"),
    ("files", "open files"),
)


def draw(result: dict[str, Any], path: Path) -> None:
    """A panel for each figure over time, a line for each node."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), dpi=110, layout="constrained")
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for axes, (name, label) in zip(panels, _PANELS):
        for node, samples in result["samples"].items():
            style = "-" if node == "localizer" else "--"
            minutes, values = ([moment[key] for moment in samples] for key in ("minutes", name))
            axes.plot(minutes, values, style, label=node)
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.2 * axes.dataLim.y1)  # a flat line is not hidden by the frame
        axes.grid(alpha=0.3)
    panels[0].legend(loc="lower right", ncols=2)
    panels[-1].set_xlabel(f"minutes, at {result['rate']:g} images a second")
    figure.savefig(path)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    arguments.add_argument("--rate", type=float, default=10.0, help="images a second (default: %(default)s)")
    arguments.add_argument("--source", type=Path, help="a drive with poses (default: the rendered town)")
    arguments.add_argument("--output", type=Path, required=True, help="folder for soak.json and soak.png")
    options = arguments.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as text:
        source = options.source
        if source is None:
            source = Path(text) / "town"
            write_drive(source, FIRST, length=_TOWN, image_rate=options.rate)
        opened = open_source(source)
        network = BuildOptions(weights=PACKAGED_NETWORK, device="cpu")
        place_map = build_map(opened, Path(text) / "map", network, progress=False).path
        result = soak(place_map, views_of(opened), options.minutes, options.rate)
    (options.output / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(result, options.output / "soak.png")
    header = ["node", *next(iter(result["images"].values()))]
    print_table(header, [[node, *seen.values()] for node, seen in result["images"].items()])
    for node, moments in result["samples"].items():
        for name, label in _PANELS:
            values = [moment[name] for moment in moments if np.isfinite(moment[name])]
            third = max(1, len(values) // 3)
            middle, last = np.median(values[third:-third]), np.median(values[-third:])
            print(
                f"{node}: {' '.join(label.split())}: second third {middle:.1f}, last third {last:.1f}, "
                f"largest {max(values):.1f}"
            )


if __name__ == "__main__":
    main()
