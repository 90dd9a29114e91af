"""What robots send over DDS, in the ways in which they send it: moments come whole, or the cause is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from netvlad_core.data.geometry import Pose
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from support.listener import PICTURE, SECOND, Drive, Listener
from support.robot import jpeg, values_of, wait_until

_numbers = count()


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
def test_every_moment_has_the_odometry_of_its_stamp(start_drive, odometry, delay, most):
    drive = start_drive()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*odometry, act=drive.drive, delay=delay))
    last = drive.began + round(_SEEN[-1] * SECOND)
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


def test_image_waits_no_longer_than_it_may_and_the_cause_is_told(start_drive):
    drive = start_drive(odometry_wait=0.2)
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_SEEN, act=drive.drive, delay=0.6))
    status = drive.told_within("later than its image (raise odometry_wait")
    assert "images without it" in status.message
    assert 0.19 < np.median(drive.node.ages[3:]) < 0.35


def test_wait_is_live(start_drive):
    drive = start_drive(odometry_wait=0.2)
    assert drive.node.set_parameters([Parameter("odometry_wait", value=1.0)])[0].successful
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_SEEN, act=drive.drive, delay=0.6))
    wait_until(lambda: len(drive.node.moments) >= len(_SEEN) - 2, 3, "the moments")
    assert np.isnan(drive.errors()[2:]).sum() == 0


def test_without_odometry_no_image_waits(start_drive):
    drive = start_drive()
    drive.robot.destroy_publisher(drive.odometry)
    wait_until(lambda: not drive.node.count_publishers(f"{drive.namespace}/odom"), 10, "its end")
    drive.play(_at(*_SEEN, act=drive.see))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.median(drive.node.ages) < 0.1
    assert all(moment.odometry is None for moment in drive.node.moments)


def test_odometry_that_ends_holds_images_up_for_a_moment_only(start_drive, monkeypatch):
    monkeypatch.setattr("netvlad_ros.odometry._ALIVE", 0.5)
    drive = start_drive()
    seen = [0.1 * i for i in range(25)]
    drive.play(_at(*seen, act=drive.see) + _at(*[t for t in _DRIVEN if t < 0.5], act=drive.drive))
    wait_until(lambda: drive.node.moments[-1].stamp > drive.began + 2.3 * SECOND, 3, "the last image")
    assert np.median(drive.node.ages[-5:]) < 0.1


def test_odometry_out_of_order_or_broken_at_times_makes_no_difference(start_drive):
    drive = start_drive()
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


def _publish_broken(drive: Drive, seconds: float, x: float = 0.0, w: float = 0.0) -> None:
    message = drive.message(seconds)
    message.pose.pose.position.x = x
    message.pose.pose.orientation.z, message.pose.pose.orientation.w = 0.0, w
    drive.odometry.publish(message)


# --- Stamps and clocks --------------------------------------------------------------------------------------


def test_images_without_stamps_are_joined_by_their_arrival(start_drive):
    drive = start_drive()
    events = _at(*_SEEN, act=lambda t: drive.see(t, unset=True)) + _at(*_DRIVEN, act=drive.drive)
    drive.play(events)
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    for moment, seconds in zip(drive.node.moments, _SEEN):
        assert stamp_to_nanoseconds(moment.header.stamp) == moment.stamp
        assert moment.header.frame_id == "camera"
        assert abs(moment.stamp - drive.began - seconds * SECOND) < 0.2 * SECOND
        assert abs(moment.odometry.position[0] - 2 * seconds) < 0.2
    drive.told_within("have no stamp")


def test_odometry_without_stamps_is_joined_by_its_arrival(start_drive):
    drive = start_drive()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=lambda t: drive.drive(t, unset=True)))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.abs(drive.errors()).max() < 0.2


@pytest.mark.parametrize("offset", [-1.7e9, -7200.0, 7200.0], ids=["since boot", "behind", "ahead"])
def test_images_of_another_clock_are_told_and_joined_by_their_arrival(start_drive, offset):
    drive = start_drive()
    drive.play(_at(*_SEEN, act=lambda t: drive.see(t, offset)) + _at(*_DRIVEN, act=drive.drive))
    status = drive.told_within("another clock than the odometry")
    assert f"{drive.namespace}/image" in status.message
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    for moment, seconds in zip(drive.node.moments[3:], _SEEN[3:]):
        assert abs(moment.odometry.position[0] - 2 * seconds) < 0.2


def test_images_of_another_clock_are_told_without_odometry_too(start_drive):
    drive = start_drive()
    drive.play(_at(*_SEEN, act=lambda t: drive.see(t, -7200.0)))
    assert "7200 s behind the clock of this node" in drive.told_within("use_sim_time").message
    assert len(drive.node.moments) > len(_SEEN) // 2


def test_simulation_that_begins_again_starts_anew_at_once(start_drive):
    drive = start_drive(use_sim_time=True)
    clock = drive.robot.create_publisher(Clock, "/clock", 10)
    wait_until(clock.get_subscription_count, 10, "the clock")

    def tick(seconds: float) -> None:
        clock.publish(Clock(clock=stamp_from_nanoseconds(round(seconds * SECOND))))

    for begin in (0.0, 4.0):
        times = [0.1 * i for i in range(1, 40)]
        events = _at(*times, act=tick) + _at(*times, act=drive.drive, delay=0.01)
        drive.play(events + _at(*times[10:], act=drive.see, delay=0.005), began=0)
        assert (drive.node.forgotten > 0) == (begin > 0)
        wait_until(lambda: drive.node.moments, 3, "moments")
        assert np.abs(drive.errors()[2:]).max() < 0.05
        drive.node.moments.clear()
    counted = values_of(drive.told[-1])
    assert counted["clock of ROS set back"] == "1"


# --- Two publishers, and what is left out -------------------------------------------------------------------


def test_two_publishers_of_other_frames_are_named_and_the_first_is_kept(start_drive):
    drive = start_drive()
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
def test_two_publishers_of_the_same_frames_are_counted(start_drive, kind, topic):
    drive = start_drive()
    drive.robot.create_publisher(kind, topic, 10)
    drive.play(_at(*_SEEN[:5], act=drive.see))
    status = drive.told_within(f"2 publishers on {drive.namespace}/{topic}")
    assert status.level == DiagnosticStatus.WARN


def test_nine_images_of_ten_that_cannot_be_used_are_an_error_with_the_reason(start_drive, capfd):
    drive = start_drive()
    times = [0.05 * i for i in range(80)]

    def see(seconds: float) -> None:
        drive.see(seconds, **({} if round(seconds / 0.05) % 20 == 0 else {"encoding": "unheard"}))

    drive.play(_at(*times, act=see))
    status = drive.told_within("images of the last 5 s left out: image encoding 'unheard' is not known", 2.0)
    assert status.level == DiagnosticStatus.ERROR
    assert "left out: image encoding 'unheard'" in capfd.readouterr().err
    assert 2 <= len(drive.node.moments) <= 5
    assert all(len(value.key) < 100 for value in status.values)


@pytest.mark.parametrize(
    ("x", "w", "words"),
    [
        (0.0, 0.0, "zero length"),
        (1.7e308, 1.0, "farther away than any place on Earth"),
    ],
)
def test_odometry_that_is_refused_again_and_again_is_told(start_drive, x, w, words):
    drive = start_drive()
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=lambda t: _publish_broken(drive, t, x, w)))
    assert words in drive.told_within(f"messages on {drive.namespace}/odom left out").message


# --- Frames -------------------------------------------------------------------------------------------------


def test_odometry_of_a_turned_camera_is_carried_to_the_base_frame(start_drive):
    drive = start_drive()
    turned = Pose.from_xyz_yaw(0.4, 0.0, yaw=np.pi / 2)
    drive.mount("base_link", "t265", turned)

    def sense(seconds: float) -> None:
        message = drive.message(seconds, child="t265")
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(2.0 * seconds, 0.0) @ turned)
        drive.odometry.publish(message)

    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=sense))
    wait_until(lambda: len(drive.node.moments) == len(_SEEN), 3, "all moments")
    assert np.abs(drive.errors()).max() < 0.01
    assert all(abs(moment.odometry.yaw) < 1e-6 for moment in drive.node.moments)
    assert all(status.level == DiagnosticStatus.OK for status in drive.told[-3:])


def test_odometry_of_a_frame_that_nothing_joins_is_told_with_both_names(start_drive):
    drive = start_drive(base_frame="base_footprint")
    drive.play(_at(*_SEEN, act=drive.see) + _at(*_DRIVEN, act=drive.drive))
    status = drive.told_within("/tf_static does not join")
    assert "'base_link'" in status.message
    assert "'base_footprint'" in status.message


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
    namespace = f"/transport_{next(_numbers)}"
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
        camera.create_publisher(CompressedImage, images.format(namespace), 1).publish(jpeg(PICTURE, 1))
        camera.destroy_node()
    finally:
        node.destroy_node()
