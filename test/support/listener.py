"""A robot that drives in a straight line, and a node that keeps what it hears of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from threading import Thread
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import TransformTree
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.moment import Moment
from netvlad_ros.parameters import INPUT_PARAMETERS, NodeParameter
from support.robot import raw, wait_until

SECOND = 10**9
PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
_PARAMETERS = (*INPUT_PARAMETERS, NodeParameter("verification", False, "Whether calibration is needed."))
_numbers = count()


class Listener(CameraNode):
    """A node that keeps what it gets."""

    def __init__(self, **kwargs: Any) -> None:
        self.moments: list[Moment] = []
        self.ages: list[float] = []
        self.forgotten = 0
        self.map_mounting: Pose | None = None
        super().__init__("listener", _PARAMETERS, **kwargs)
        self.start()

    def work(self, moment: Moment) -> None:
        self.moments.append(moment)
        self.ages.append((time_ns() - moment.stamp) / SECOND)

    def forget(self) -> None:
        self.forgotten += 1

    def map_camera(self) -> Camera | None:
        if self.map_mounting is None:
            return None
        return Camera(64, 48, np.eye(3), "", np.empty(0), self.map_mounting)


class Drive:
    """A robot that drives along x at 2 m/s, 0 at `began`, and a listener to it."""

    def __init__(self, remappings: tuple[str, ...] = (), **parameters: Any) -> None:
        self.namespace = f"/drive_{next(_numbers)}"
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        arguments = ["--ros-args", *(word for rule in remappings for word in ("-r", rule))]
        self.node = Listener(namespace=self.namespace, parameter_overrides=overrides, cli_args=arguments)
        self.robot = Node("robot", namespace=self.namespace)
        self.images = self.robot.create_publisher(Image, "image", qos_profile_sensor_data)
        self.odometry = self.robot.create_publisher(Odometry, "odom", QoSProfile(depth=50))
        self.told: list[DiagnosticStatus] = []
        self.robot.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)
        self._executor = ThreadedExecutor(num_threads=4)
        for node in (self.node, self.robot):
            self._executor.add_node(node)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        wait_until(
            lambda: self.images.get_subscription_count() and self.odometry.get_subscription_count(),
            20,
            "the listener",
        )
        self.began = time_ns()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(timeout=10)
        self.node.destroy_node()
        self.robot.destroy_node()

    def _hear(self, message: DiagnosticArray) -> None:
        self.told += [status for status in message.status if status.name.startswith(self.namespace + "/")]

    def play(self, events: list[tuple[float, Callable[[], None]]], began: int | None = None) -> None:
        """Do things at their times, seconds from now, which is stamped `began`, by default by the clock."""
        self.began = time_ns() if began is None else began
        start = monotonic()
        for when, act in sorted(events, key=lambda event: event[0]):
            sleep(max(0.0, start + when - monotonic()))
            act()

    def see(self, seconds: float, offset: float = 0.0, unset: bool = False, **fields: Any) -> None:
        """Publish the image of an instant, stamped by a clock that is off by `offset`."""
        message = raw(PICTURE, 0 if unset else self.began + round((seconds + offset) * SECOND))
        for name, value in fields.items():
            setattr(message, name, value)
        self.images.publish(message)

    def drive(self, seconds: float, unset: bool = False, **options: Any) -> None:
        """Publish the odometry of an instant."""
        self.odometry.publish(self.message(seconds, 0 if unset else None, **options))

    def message(
        self,
        seconds: float,
        stamp: int | None = None,
        frame: str = "odom",
        child: str = "base_link",
        yaw: float = 0.0,
        offset: float = 0.0,
    ) -> Odometry:
        stamp = self.began + round((seconds + offset) * SECOND) if stamp is None else stamp
        message = Odometry(child_frame_id=child)
        message.header.frame_id = frame
        message.header.stamp = stamp_from_nanoseconds(stamp)
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(2.0 * seconds, 0.0, yaw=yaw))
        return message

    def errors(self) -> list[float]:
        """Metres from where the robot was to where the odometry of each moment says, NaN without any."""
        return [
            float("nan") if moment.odometry is None else float(moment.odometry.position[0]) - 2.0 * seconds
            for moment in self.node.moments
            for seconds in [(stamp_to_nanoseconds(moment.header.stamp) - self.began) / SECOND]
        ]

    def told_within(self, words: str, seconds: float = 5.0) -> DiagnosticStatus:
        """Wait for a status that is not OK and says these words."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            for status in self.told:
                if words in status.message and status.level != DiagnosticStatus.OK:
                    return status
            sleep(0.05)
        raise AssertionError(f"nobody said {words!r}; the last: {[s.message for s in self.told[-2:]]}")

    def mount(self, parent: str, child: str, pose: Pose) -> None:
        """Have static transforms join two frames as /tf_static would, which no wheel can say."""
        tree = TransformTree()
        tree.add_fixed(parent, child, pose)
        self.node.input.static_frames.between = tree.fixed_between  # type: ignore[method-assign]
