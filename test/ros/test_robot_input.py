"""What robots send over DDS, in the ways in which they send it: moments come whole, or the cause is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from threading import Thread
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import TransformTree
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.moment import Moment
from netvlad_ros.parameters import INPUT_PARAMETERS, NodeParameter
from support.robot import jpeg, raw, values_of, wait_until

_SECOND = 10**9
_PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
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
        self.ages.append((time_ns() - moment.stamp) / _SECOND)

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

    def play(self, events: list[tuple[float, Callable[[], None]]]) -> None:
        """Do things at their times, seconds from now."""
        began = monotonic()
        for when, act in sorted(events, key=lambda event: event[0]):
            sleep(max(0.0, began + when - monotonic()))
            act()

    def see(self, seconds: float, offset: float = 0.0, unset: bool = False, **fields: Any) -> None:
        """Publish the image of an instant, stamped by a clock that is off by `offset`."""
        message = raw(_PICTURE, 0 if unset else self.began + round((seconds + offset) * _SECOND))
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
        stamp = self.began + round((seconds + offset) * _SECOND) if stamp is None else stamp
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
            for seconds in [(stamp_to_nanoseconds(moment.header.stamp) - self.began) / _SECOND]
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


@pytest.fixture
def start(ros: None) -> Iterator[Callable[..., Drive]]:
    drives: list[Drive] = []

    def make(*remappings: str, **parameters: Any) -> Drive:
        drives.append(Drive(remappings, **parameters))
        return drives[-1]

    yield make
    for drive in drives:
        drive.close()


def _at(*times: float, act: Callable[[float], None], delay: float = 0.0) -> list[Any]:
    return [(when + delay, lambda when=when: act(when)) for when in times]


_SEEN = [0.3 + 0.15 * i for i in range(10)]
_DRIVEN = [0.02 * i for i in range(90)]


# --- Odometry in the ways in which it comes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("odometry", "delay", "most"),
    [
        (_DRIVEN, 0.0, 0.01),
        (_SEEN, 0.15, 1e-6),  # of visual odometry: the stamp of the image, and later
        ([0.2 * i for i in range(11)], 0.3, 0.01),  # of a slow filter
        ([0.02 * i for i in range(120) if i % 10 < 2], 0.05, 0.01),  # over a link that loses most of it
    ],
    ids=["fast", "late", "slow filter", "lossy"],
)
def test_every_moment_has_the_odometry_of_its_stamp(start, odometry, delay, most):
    drive = start()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*odometry, act=drive.drive, delay=delay))
    last = drive.began + round(_SEEN[-1] * _SECOND)
    wait_until(lambda: drive.node.moments and drive.node.moments[-1].stamp == last, 3, "the last moment")
    errors = np.abs(drive.errors())
    assert np.nanmax(errors) < most
    assert np.isnan(errors).sum() == 0
    assert (
        len(errors) > len(_SEEN) // 2
    )  # of two images that their odometry releases at once the newer counts
    assert [moment.stamp for moment in drive.node.moments] == sorted(m.stamp for m in drive.node.moments)
    assert drive.node.moments[0].odometry_frame == "odom"
    assert drive.node.forgotten == 0


def test_image_waits_no_longer_than_it_may_and_the_cause_is_told(start):
    drive = start(odometry_wait=0.2)
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_SEEN, act=drive.drive, delay=0.6))
    status = drive.told_within("later than its image (raise odometry_wait")
    assert "images without it" in status.message
    assert 0.19 < np.median(drive.node.ages[3:]) < 0.35


def test_wait_is_live(start):
    drive = start(odometry_wait=0.2)
    assert drive.node.set_parameters([Parameter("odometry_wait", value=1.0)])[0].successful
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_SEEN, act=drive.drive, delay=0.6))
    wait_until(lambda: len(drive.node.moments) >= len(_SEEN) - 2, 3, "the moments")
    assert np.isnan(drive.errors()[2:]).sum() == 0


def test_without_odometry_no_image_waits(start):
    drive = start()
    drive.robot.destroy_publisher(drive.odometry)
    wait_until(lambda: not drive.node.count_publishers(f"{drive.namespace}/odom"), 10, "its end")
    drive.play(_at(*_SEEN, act=drive.see))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.median(drive.node.ages) < 0.1
    assert all(moment.odometry is None for moment in drive.node.moments)


def test_odometry_that_ends_holds_images_up_for_a_moment_only(start, monkeypatch):
    monkeypatch.setattr("netvlad_ros.odometry._ALIVE", 0.5)
    drive = start()
    seen = [0.1 * i for i in range(25)]
    drive.play(_at(*seen, act=drive.see) + _at(*[t for t in _DRIVEN if t < 0.5], act=drive.drive))
    wait_until(lambda: drive.node.moments[-1].stamp > drive.began + 2.3 * _SECOND, 3, "the last image")
    assert np.median(drive.node.ages[-5:]) < 0.1


def test_odometry_out_of_order_or_broken_at_times_makes_no_difference(start):
    drive = start()
    driven = list(_DRIVEN)
    for i in range(5, len(driven) - 1, 10):
        driven[i], driven[i + 1] = driven[i + 1], driven[i]
    events = [(when, lambda t=t: drive.drive(t)) for when, t in zip(_DRIVEN, driven)]
    broken = [(when + 0.005, lambda t=when: _publish_broken(drive, t)) for when in _DRIVEN[::40]]
    far = [(when + 0.006, lambda t=when: drive.drive(t, offset=3600.0)) for when in _DRIVEN[::50]]
    drive.play(_at(*_SEEN, act=drive.see) + events + broken + far)
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.abs(drive.errors()).max() < 0.01
    assert drive.node.forgotten == 0
    assert all(status.level == DiagnosticStatus.OK for status in drive.told[-3:])


def _publish_broken(drive: Drive, seconds: float) -> None:
    message = drive.message(seconds)
    message.pose.pose.orientation.w = message.pose.pose.orientation.z = 0.0
    drive.odometry.publish(message)


# --- Stamps and clocks --------------------------------------------------------------------------------------


def test_images_without_stamps_are_joined_by_their_arrival(start):
    drive = start()
    events = _at(*_SEEN, act=lambda t: drive.see(t, unset=True)) + _at(*_DRIVEN, act=drive.drive)
    drive.began = time_ns()
    drive.play(events)
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    for moment, seconds in zip(drive.node.moments, _SEEN):
        assert stamp_to_nanoseconds(moment.header.stamp) == 0
        assert abs(moment.odometry.position[0] - 2 * seconds) < 0.2
    drive.told_within("have no stamp")


def test_odometry_without_stamps_is_joined_by_its_arrival(start):
    drive = start()
    drive.began = time_ns()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=lambda t: drive.drive(t, unset=True)))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.abs(drive.errors()).max() < 0.2


@pytest.mark.parametrize("offset", [-1.7e9, -7200.0, 7200.0], ids=["since boot", "behind", "ahead"])
def test_images_of_another_clock_are_told_and_joined_by_their_arrival(start, offset):
    drive = start()
    drive.began = time_ns()
    drive.play(_at(*_SEEN, act=lambda t: drive.see(t, offset)) + _at(*_DRIVEN, act=drive.drive))
    status = drive.told_within("another clock than the odometry")
    assert f"{drive.namespace}/image" in status.message
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    for moment, seconds in zip(drive.node.moments[3:], _SEEN[3:]):
        assert abs(moment.odometry.position[0] - 2 * seconds) < 0.2


def test_images_of_another_clock_are_told_without_odometry_too(start):
    drive = start()
    drive.play(_at(*_SEEN, act=lambda t: drive.see(t, -7200.0)))
    assert "7200 s behind the clock of this node" in drive.told_within("use_sim_time").message
    assert len(drive.node.moments) > len(_SEEN) // 2


def test_simulation_that_begins_again_starts_anew_at_once(start):
    drive = start(use_sim_time=True)
    clock = drive.robot.create_publisher(Clock, "/clock", 10)
    wait_until(clock.get_subscription_count, 10, "the clock")

    def tick(seconds: float) -> None:
        clock.publish(Clock(clock=stamp_from_nanoseconds(round(seconds * _SECOND))))

    drive.began = 0
    for begin in (0.0, 4.0):
        times = [0.1 * i for i in range(1, 40)]
        events = _at(*times, act=tick) + _at(*times, act=drive.drive, delay=0.01)
        drive.play(events + _at(*times[10:], act=drive.see, delay=0.005))
        assert (drive.node.forgotten > 0) == (begin > 0)
        wait_until(lambda: drive.node.moments, 3, "moments")
        assert np.abs(drive.errors()[2:]).max() < 0.05
        drive.node.moments.clear()
    counted = values_of(drive.told[-1])
    assert counted["clock of ROS set back"] == "1"


# --- Two publishers, and what is left out -------------------------------------------------------------------


def test_two_publishers_of_other_frames_are_named_and_the_first_is_kept(start):
    drive = start()
    wheels = [t + 0.003 for t in _DRIVEN[::5]]
    drive.play(
        _at(*_SEEN, act=drive.see)
        + _at(*_DRIVEN, act=drive.drive)
        + _at(*wheels, act=lambda t: drive.odometry.publish(drive.message(t + 100, child="wheels")))
    )
    status = drive.told_within("two publishers on one topic")
    assert "odom <- base_link" in status.message
    assert "odom <- wheels" in status.message
    assert np.abs(drive.errors()).max() < 0.01
    assert drive.node.forgotten == 0
    wait_until(lambda: "two publishers" not in drive.told[-1].message, 10, "the end of the warning")


@pytest.mark.parametrize(("kind", "topic"), [(Odometry, "odom"), (Image, "image")])
def test_two_publishers_of_the_same_frames_are_counted(start, kind, topic):
    drive = start()
    drive.robot.create_publisher(kind, topic, 10)
    drive.play(_at(*_SEEN[:5], act=drive.see))
    status = drive.told_within(f"2 publishers on {drive.namespace}/{topic}")
    assert status.level == DiagnosticStatus.WARN


def test_nine_images_of_ten_that_cannot_be_used_are_an_error_with_the_reason(start, capfd):
    drive = start()
    times = [0.05 * i for i in range(80)]

    def see(seconds: float) -> None:
        drive.see(seconds, **({} if round(seconds / 0.05) % 20 == 0 else {"encoding": "unheard"}))

    drive.play(_at(*times, act=see))
    status = drive.told_within("images of the last 5 s left out: image encoding 'unheard' is not known", 2.0)
    assert status.level == DiagnosticStatus.ERROR
    assert "left out: image encoding 'unheard'" in capfd.readouterr().err
    assert 2 <= len(drive.node.moments) <= 5
    assert all(len(value.key) < 100 for value in status.values)


def test_odometry_that_is_refused_again_and_again_is_told(start):
    drive = start()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=lambda t: _publish_broken(drive, t)))
    assert "zero length" in drive.told_within(f"messages on {drive.namespace}/odom left out").message


# --- Frames and calibration ---------------------------------------------------------------------------------


def _mount(drive: Drive, parent: str, child: str, pose: Pose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Static transforms as /tf_static says them; no wheel has tf2_msgs."""
    tree = TransformTree()
    tree.add_fixed(parent, child, pose)
    monkeypatch.setattr(drive.node.input.static_frames, "between", tree.fixed_between)


def test_odometry_of_a_turned_camera_is_carried_to_the_base_frame(start, monkeypatch):
    drive = start()
    turned = Pose.from_xyz_yaw(0.4, 0.0, yaw=np.pi / 2)
    _mount(drive, "base_link", "t265", turned, monkeypatch)

    def sense(seconds: float) -> None:
        message = drive.message(seconds, child="t265")
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(2.0 * seconds, 0.0) @ turned)
        drive.odometry.publish(message)

    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=sense))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.abs(drive.errors()).max() < 0.01
    assert all(abs(moment.odometry.yaw) < 1e-6 for moment in drive.node.moments)
    assert all(status.level == DiagnosticStatus.OK for status in drive.told[-3:])


def test_odometry_of_a_frame_that_nothing_joins_is_told_with_both_names(start):
    drive = start(base_frame="base_footprint")
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=drive.drive))
    status = drive.told_within("/tf_static does not join")
    assert "'base_link'" in status.message
    assert "'base_footprint'" in status.message


_INFO = CameraInfo(
    width=64,
    height=48,
    distortion_model="plumb_bob",
    k=[40.0, 0, 31.5, 0, 40.0, 23.5, 0, 0, 1.0],
    d=[0.0] * 5,
)


def _calibrate(drive: Drive, info: CameraInfo = _INFO, frame: str = "camera") -> Camera:
    """Publish camera_info until a moment has a camera; returns it."""
    info.header.frame_id = frame
    publisher = drive.robot.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)

    def is_calibrated() -> bool:
        publisher.publish(info)
        drive.see((time_ns() - drive.began) / _SECOND)
        sleep(0.05)
        return any(moment.camera for moment in drive.node.moments)

    wait_until(is_calibrated, 10, "a calibrated moment")
    return next(moment.camera for moment in reversed(drive.node.moments) if moment.camera)


def test_camera_sits_where_the_parameter_says_else_tf_static_else_the_map(start, monkeypatch):
    said, joined, mapped = (Pose.from_xyz_yaw(x, 0.0) for x in (1.0, 2.0, 3.0))
    drive = start(extrinsics="1 0 0 0 0 0 1")
    _mount(drive, "base_link", "camera", joined, monkeypatch)
    drive.node.map_mounting = mapped
    assert _calibrate(drive).mounting.position.tolist() == said.position.tolist()
    other = start()
    other.node.map_mounting = mapped
    assert _calibrate(other).mounting.position.tolist() == mapped.position.tolist()
    _mount(other, "base_link", "camera", joined, monkeypatch)
    other.node.moments.clear()
    assert _calibrate(other).mounting.position.tolist() == joined.position.tolist()


def test_calibration_is_parsed_once_for_each_change(start, monkeypatch):
    parsed = []
    real = Camera.from_message

    def parse(*arguments: Any) -> Camera:
        parsed.append(arguments)
        return real(*arguments)

    monkeypatch.setattr("netvlad_ros.camera_input.Camera.from_message", parse)
    drive = start(extrinsics="0 0 0 0 0 0 1")
    _calibrate(drive)
    for _ in range(5):
        drive.node.moments.clear()
        _calibrate(drive)
    assert len(parsed) == 1


def test_missing_calibration_is_told_if_it_is_needed(start):
    drive = start(verification=True)
    drive.play(_at(*[0.2 * i for i in range(18)], act=drive.see))
    assert drive.told_within("no calibration on").level == DiagnosticStatus.WARN
    other = start()
    other.play(_at(*[0.2 * i for i in range(18)], act=other.see))
    assert all(status.level == DiagnosticStatus.OK for status in other.told[-2:])


def test_wrong_extrinsics_are_one_sentence_and_leave_the_node_inactive(ros):
    node = Listener(parameter_overrides=[Parameter("extrinsics", value="1 2 3")])
    try:
        assert not node.input.topic
        assert "expected 'x y z qx qy qz qw'" in node._all_problems()[0].message
    finally:
        node.destroy_node()


# --- Topics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remapping", "images", "info"),
    [
        ("image:=/front/image_raw", "/front/image_raw/compressed", "/front/camera_info"),
        ("image/compressed:=/front/jpeg", "/front/jpeg", "{}/camera_info"),
        ("camera_info:=/calibration", "{}/image/compressed", "/calibration"),
    ],
)
def test_transport_and_calibration_follow_the_topic_of_the_images(ros, remapping, images, info):
    namespace = f"/drive_{next(_numbers)}"
    node = Listener(
        namespace=namespace,
        cli_args=["--ros-args", "-r", remapping],
        parameter_overrides=[Parameter("image_transport", value="compressed")],
    )
    try:
        topics = [subscription.topic_name for subscription in node.subscriptions]
        assert node.input.topic == images.format(namespace)
        assert info.format(namespace) in topics
        wait_until(lambda: node.count_subscribers(images.format(namespace)), 10, "the subscription")
        camera = Node("camera")
        camera.create_publisher(CompressedImage, images.format(namespace), 1).publish(jpeg(_PICTURE, 1))
        camera.destroy_node()
    finally:
        node.destroy_node()
