"""What the localizer costs beyond its network: time by stage, processor time and memory while a camera runs.

A camera of 640x480 raw images and an odometer talk over DDS to the real node in a process of its own, which
follows the drive in a map of as many places. The stages are those of its diagnostics. The baseline of the
last column is the network of the same run. A rate of 0 sends the next image as soon as one is answered.

example:
  python -m benchmarks.node_overhead --rate 30 --images 1800
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, sleep, time_ns

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmarks._measure import parser, print_conditions, print_table
from benchmarks.build_map_scaling import write_drive
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import open_source
from netvlad_core.geometry.features import KINDS
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_ros.conversions import (
    image_to_message,
    pose_to_message,
    stamp_from_nanoseconds,
    stamp_to_nanoseconds,
)
from netvlad_ros.msg import PlaceMatches

_PLACES = 1000
_STAGE = re.compile(r"(.+) \(ms, median of (\d+)\)")
# In the order of an image's way; the network is the baseline.
_OVERHEAD = ("decode", "search", "publish")
_TICKS = os.sysconf("SC_CLK_TCK")


class Camera(Node):
    """Publishes images with odometry, and hears the answers and what the node says of its own times."""

    def __init__(self) -> None:
        super().__init__("camera")
        self.images = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.poses = self.create_publisher(Odometry, "odom", 10)
        self.create_subscription(PlaceMatches, "localizer/matches", self._on_matches, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.answered = Event()
        self.sent: dict[int, float] = {}
        self.latencies: list[float] = []
        self.stages: dict[str, list[float]] = defaultdict(list)

    def show(self, picture: np.ndarray, metres: float) -> None:
        stamp = time_ns()
        odometry = Odometry(header=Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom"))
        odometry.child_frame_id = "base_link"
        odometry.pose.pose = pose_to_message(Pose.from_xyz_yaw(metres, 0.0))
        self.poses.publish(odometry)
        self.answered.clear()
        self.sent[stamp] = monotonic()
        self.images.publish(image_to_message(picture, Header(stamp=stamp_from_nanoseconds(stamp))))

    def _on_matches(self, message: PlaceMatches) -> None:
        sent = self.sent.pop(stamp_to_nanoseconds(message.header.stamp), None)
        if sent is not None:
            self.latencies.append(1e3 * (monotonic() - sent))
        self.answered.set()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for value in message.status[0].values:
            if (found := _STAGE.fullmatch(value.key)) and found[2] == "100":
                self.stages[found[1]].append(float(value.value))


@contextmanager
def localizer(place_map: Path, python: str | Path = sys.executable) -> Iterator[subprocess.Popen[bytes]]:
    program = (
        "import sys; from netvlad_ros.process import run; sys.exit(run(['localize_node', *sys.argv[1:]]))"
    )
    process = subprocess.Popen([python, "-c", program, "--ros-args", "-p", f"map:={place_map}"])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def camera_at_work() -> Iterator[Camera]:
    """A camera that hears what is answered."""
    rclpy.init()
    camera = Camera()
    with spinning(camera):
        yield camera


@contextmanager
def spinning(node: Node, shuts_down: bool = True) -> Iterator[None]:
    """Spin a node in a thread of its own, and shut rclpy down in the end, or only take the node back."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        if shuts_down:
            rclpy.try_shutdown()
        thread.join(timeout=5)
        if not shuts_down:
            node.destroy_node()


def wait_for_answer(camera: Camera, picture: np.ndarray, started: float) -> tuple[float, float]:
    """Seconds since the start until the node listens, and until it answers."""
    while not camera.images.get_subscription_count():
        sleep(0.01)
    listening = monotonic() - started
    answered = len(camera.latencies)
    while len(camera.latencies) == answered:
        camera.show(picture, 0.0)
        camera.answered.wait(0.5)
    return listening, monotonic() - started


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def drive(camera: Camera, pictures: list[np.ndarray], pid: int, count: int, rate: float) -> list[float]:
    """Show images back and forth along the street; returns the memory of the node at ten moments."""
    there_and_back = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    memory, started = [], monotonic()
    for number in range(count):
        place = there_and_back[number % len(there_and_back)]
        camera.show(pictures[place], float(place))
        if rate:
            sleep(max(0.0, started + (number + 1) / rate - monotonic()))
        else:
            camera.answered.wait(1.0)
        if number % max(1, count // 10) == 0:
            memory.append(resident_megabytes(pid))
    return memory


def make_map(folder: Path, features: str) -> tuple[Path, list[np.ndarray]]:
    """A map of painted noise, a place a metre, and its images."""
    coarse = np.random.default_rng(0).integers(0, 256, (_PLACES, 30, 40, 3), np.uint8)
    pictures = [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in coarse]
    write_drive(folder / "drive", pictures, _PLACES)
    options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu", store_features=features)
    return build_map(open_source(folder / "drive"), folder / "map", options, progress=False).path, pictures


@dataclass(frozen=True)
class Overhead:
    """What was seen of one run.

    Attributes
    ----------
    stages : median milliseconds of an image by stage; "network" is the baseline.
    latency : median milliseconds from the publication of an image to the arrival of its answer.
    processor : milliseconds of the processor that the node took for each image answered.
    answered : number of images.
    start_up, first_answer : seconds from the start of the process.
    memory : resident megabytes at ten moments.
    """

    stages: dict[str, float]
    latency: float
    processor: float
    answered: int
    start_up: float
    first_answer: float
    memory: list[float]

    @property
    def beyond_the_network(self) -> float:
        return sum(self.stages[stage] for stage in _OVERHEAD)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Rows of the table."""
        return {
            "network": self.stages["network"],
            **{stage: self.stages[stage] for stage in _OVERHEAD},
            "overhead: decode, search, publish": self.beyond_the_network,
            "camera to answer, over DDS": self.latency,
            "processor time of the node": self.processor,
        }


def measure(images: int, rate: float, features: str = "none") -> Overhead:
    """Run the node while a camera shows this many images, at a rate a second or, for 0, one by one."""
    with camera_at_work() as camera, TemporaryDirectory() as text:
        place_map, pictures = make_map(Path(text), features)
        started = monotonic()
        with localizer(place_map) as process:
            start_up, first_answer = wait_for_answer(camera, pictures[0], started)
            drive(camera, pictures, process.pid, 100, rate)
            camera.latencies.clear()
            camera.stages.clear()
            before = processor_seconds(process.pid)
            memory = drive(camera, pictures, process.pid, images, rate)
            sleep(1.5)  # the last report
            spent = 1e3 * (processor_seconds(process.pid) - before)
    stages = {stage: median(values) for stage, values in camera.stages.items()}
    answered = len(camera.latencies)
    latency = median(camera.latencies)
    return Overhead(stages, latency, spent / answered, answered, start_up, first_answer, memory)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rate", type=float, default=30.0, help="images a second (default: %(default)s)")
    arguments.add_argument("--images", type=int, default=1800, help="images in all (default: %(default)s)")
    arguments.add_argument(
        "--features", choices=("none", *KINDS), default="none",
        help="local features in the map: with some, every image is verified that there is time for",
    )  # fmt: skip
    options = arguments.parse_args()
    print_conditions()
    seen = measure(options.images, options.rate, options.features)
    print_table(
        [f"{_PLACES} places, 640x480 raw", "ms an image, median", "of the network"],
        [
            [name, f"{value:.2f}", f"{value / seen.stages['network']:.2f}"]
            for name, value in seen.milliseconds.items()
        ],
    )
    print(
        f"\n{seen.answered} of {options.images} images answered; listening {seen.start_up:.1f} s after the "
        f"start, first answer {seen.first_answer:.1f} s"
    )
    print(f"memory, MB: {' '.join(f'{megabytes:.0f}' for megabytes in seen.memory)}")


if __name__ == "__main__":
    main()
