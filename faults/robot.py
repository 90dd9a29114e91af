"""A robot for the faults of nodes that run: its camera, odometer and clock, and a caller of services."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from benchmarks._measure import peak_megabytes
from benchmarks.node_overhead import spinning
from faults.runs import ROOT, SPACING
from faults.trial import GROWTH_MB, Bad, Cost, reset_peak
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import encode_jpeg
from netvlad_ros.conversions import (
    image_to_message,
    pose_to_message,
    stamp_from_nanoseconds,
    stamp_to_nanoseconds,
)
from netvlad_ros.msg import GlobalDescriptor, PlaceMatches

# The next good image is answered within a second; a machine with other work on it may take longer.
PATIENCE = 15.0
START = 60.0
_AT_ONCE = 5  # DDS keeps ten requests of a service
GOOD = 4  # place of the image that is shown
_PROGRAM = "import sys; from netvlad_ros.process import run; sys.exit(run([{!r}, *sys.argv[1:]]))"
# What tells that a node has taken an image; the loop closer takes one after each metre.
_ANSWERS = {"localize_node": ("matches", PlaceMatches), "loop_closure_node": ("descriptor", GlobalDescriptor)}


@dataclass
class Running:
    """A node in a process of its own.

    Attributes
    ----------
    answers : by the stamp of the image.
    good : the place that the good image shows, in the map of this node.
    """

    name: str
    process: subprocess.Popen[bytes]
    answers: dict[int, Any] = field(default_factory=dict)
    good: int = GOOD

    def check(self) -> None:
        if self.process.poll() is not None:
            raise Bad(f"crash: {self.name} has ended with status {self.process.returncode}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Robot:
    """What nodes hear and who calls them; all of it in a namespace that nobody else is in.

    Attributes
    ----------
    images, compressed, odometry : publishers. `compressed` sends JPEG images to whoever listens.
    ahead : nanoseconds by which the stamps of images and odometry, and ROS time, differ from the time of day.
    """

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures = pictures
        self.ahead = {"images": 0, "odometry": 0, "clock": 0}
        self.node = Node("robot", namespace=f"/faults_{os.getpid()}")
        self.images = self.node.create_publisher(Image, "image", qos_profile_sensor_data)
        self.compressed = self.node.create_publisher(
            CompressedImage, "image/compressed", qos_profile_sensor_data
        )
        self.odometry = self.node.create_publisher(Odometry, "odom", 10)
        self._clock = self.node.create_publisher(Clock, "/clock", 10)
        self._clients: dict[str, Any] = {}
        self._metres = 12.0

    @classmethod
    @contextmanager
    def at_work(cls, pictures: list[np.ndarray]) -> Iterator[Robot]:
        is_first = not rclpy.ok()  # tests of nodes in the same process may have begun before
        if is_first:
            rclpy.init()
        robot = cls(pictures)
        with spinning(robot.node, shuts_down=is_first):
            yield robot

    @contextmanager
    def runs(
        self, executable: str = "localize_node", name: str = "localizer", **parameters: Any
    ) -> Iterator[Running]:
        """Start a node, which may still be about to open its map."""
        options = ["-r", f"__ns:={self.node.get_namespace()}", "-r", f"__node:={name}"]
        for parameter, value in parameters.items():
            options += ["-p", f"{parameter}:={value}"]
        command = [sys.executable, "-c", _PROGRAM.format(executable), "--ros-args", *options]
        running = Running(name, subprocess.Popen(command, cwd=ROOT))
        topic, kind = _ANSWERS[executable]

        def hear(message: Any) -> None:
            running.answers[stamp_to_nanoseconds(message.header.stamp)] = message

        subscription = self.node.create_subscription(kind, f"{name}/{topic}", hear, 100)
        try:
            yield running
        finally:
            self.node.destroy_subscription(subscription)
            running.process.terminate()
            running.process.wait(timeout=30)

    def moves(self) -> Header:
        """Publish clock and odometry of a robot on its way; returns the header of an image of this moment."""
        self._metres += 1.0
        now = time_ns()
        self._clock.publish(Clock(clock=stamp_from_nanoseconds(now + self.ahead["clock"])))
        odometry = Odometry(header=_header(now + self.ahead["odometry"], "odom"), child_frame_id="base_link")
        odometry.pose.pose = pose_to_message(Pose.from_xyz_yaw(self._metres, 0.0))
        self.odometry.publish(odometry)
        return _header(now + self.ahead["images"], "camera")

    def show(self, place: int = GOOD) -> int:
        """Publish the image of a place, with odometry; returns its stamp."""
        header = self.moves()
        self.images.publish(image_to_message(self.pictures[place], header))
        if self.compressed.get_subscription_count():
            data = encode_jpeg(self.pictures[place])
            self.compressed.publish(CompressedImage(header=header, format="jpeg", data=data))
        return stamp_to_nanoseconds(header.stamp)

    def is_answered(self, running: Running, patience: float = PATIENCE) -> None:
        """Show good images until one is answered, and rightly."""
        started = monotonic()
        shown: set[int] = set()
        while not (answered := shown & running.answers.keys()):
            running.check()
            if monotonic() - started > patience:
                raise Bad(f"hang: {running.name} answers no image within {patience:g} s")
            shown.add(self.show())
            until = monotonic() + 0.3
            while monotonic() < until and not shown & running.answers.keys():
                sleep(0.005)
        answer = running.answers[answered.pop()]
        if isinstance(answer, PlaceMatches):
            best = answer.matches[0]
            if (best.place_id, best.pose.position.x) != (running.good, SPACING * GOOD):
                raise Bad(f"silent: place {running.good} is taken for {best}")

    def survives(self, running: Running, attack: Callable[[], object]) -> Cost:
        """Attack, and have the next good image answered; the node must not have grown."""
        running.check()
        before, started = reset_peak(running.process.pid), monotonic()
        attack()
        self.is_answered(running)
        cost = Cost(monotonic() - started, peak_megabytes(running.process.pid) - before)
        if cost.megabytes > GROWTH_MB:
            raise Bad(f"growth: {cost.megabytes:.0f} MB in {running.name}")
        return cost

    def services(self, name: str) -> list[tuple[str, Any]]:
        """All services of a node, `localizer/load_map`, with their types."""
        deadline = monotonic() + START
        found: list[Any] = []
        while not found and monotonic() < deadline:
            with suppress(NodeNameNonExistentError):
                found = self.node.get_service_names_and_types_by_node(name, self.node.get_namespace())
            sleep(0.1)
        prefix = len(self.node.get_namespace()) + 1
        return [(service[prefix:], _type_of(kinds[0])) for service, kinds in sorted(found)]

    def call(self, kind: Any, service: str, **fields: Any) -> Any:
        """Call a service once; returns its response."""
        return self.call_often(kind, service, 1, **fields)

    def call_often(self, kind: Any, service: str, count: int, **fields: Any) -> Any:
        """Call a service again and again, a few calls at once; returns the last response."""
        client, calls = self._client(kind, service), []
        for number in range(count):
            calls.append(client.call_async(kind.Request(**fields)))
            if len(calls) == _AT_ONCE or number == count - 1:
                deadline = monotonic() + 60
                while not all(call.done() for call in calls):
                    if monotonic() > deadline:
                        raise Bad(f"hang: the service {service} does not answer")
                    sleep(0.001)
                response, calls = calls[-1].result(), []
        return response

    def ask(self, kind: Any, service: str, **fields: Any) -> None:
        """Call a service without waiting for its answer."""
        self._client(kind, service).call_async(kind.Request(**fields))

    def _client(self, kind: Any, service: str) -> Any:
        client = self._clients.get(service) or self.node.create_client(kind, service)
        self._clients[service] = client
        if not client.wait_for_service(30):
            raise Bad(f"loss: there is no service {service}")
        return client


def _type_of(name: str) -> Any:
    """Class of a service by its name, netvlad_ros/srv/LoadMap."""
    module, _, kind = name.replace("/", ".").rpartition(".")
    return getattr(import_module(module), kind)


def _header(stamp: int, frame: str) -> Header:
    return Header(stamp=stamp_from_nanoseconds(stamp), frame_id=frame)
