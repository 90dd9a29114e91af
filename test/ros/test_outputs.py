"""What other programs hear, held against the rules of each of them."""

from __future__ import annotations

import struct
import zlib
from itertools import count
from time import sleep, time_ns
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data, qos_profile_services_default
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_ros.conversions import pose_from_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.outputs import OUTPUTS
from netvlad_ros.outputs.pose_message import diagonal_message
from netvlad_ros.outputs.rtabmap import pack_descriptor
from support.robot import raw, wait_until

_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_SECOND = 10**9


def _localized(robot: Any, street: Any, stamp: int | None = None, place: int = 5) -> int:
    """Let the robot recognize a place; returns the stamp of the image."""
    return _ask(robot, street, stamp, place, min_similarity=0.0)


def _lost(robot: Any, street: Any, stamp: int | None = None) -> int:
    return _ask(robot, street, stamp, 5, min_similarity=1.0)


def _ask(robot: Any, street: Any, stamp: int | None, place: int, min_similarity: float) -> int:
    stamp = stamp or time_ns()
    robot.set_parameter("min_similarity", min_similarity)
    robot.set_parameter("min_agreement", 0.0)
    robot.ask(raw(street.queries[place], stamp))
    return stamp


def _stamp(message: Any) -> int:
    return stamp_to_nanoseconds(message.header.stamp)


def _check_for_amcl(message: PoseWithCovarianceStamped) -> None:
    """The rules by which Nav2 refuses a message."""
    assert message.header.frame_id == "map"
    covariance = np.array(message.pose.covariance)
    assert np.isfinite(covariance).all()
    assert ((covariance >= 0) & (covariance <= 1e9)).all()
    assert (np.diag(covariance.reshape(6, 6)) > 1e-6).all()
    q = message.pose.pose.orientation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1, abs=1e-4)
    p = message.pose.pose.position
    assert np.isfinite([p.x, p.y, p.z]).all()


def test_nothing_is_sent_unasked(start, map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    ours = {"/matches", "/pose", "/descriptor", "/markers", "/map_markers", "/match_image", "/map_info"}
    topics = {name.removeprefix(f"{robot.namespace}/localizer") for name in robot.publishers()}
    unknown = {topic for topic in topics if topic.startswith(robot.namespace)} - {
        f"{robot.namespace}/image",
        f"{robot.namespace}/image/compressed",
        f"{robot.namespace}/camera_info",  # listened to
    }
    assert ours <= topics
    assert not unknown
    assert len(OUTPUTS) == 4


def test_initialpose_comes_once_for_each_relocalization(start, map_path, street):
    robot = start(map=map_path, sequence_filter=False, publish_initialpose=True)
    heard = robot.listen("initialpose", PoseWithCovarianceStamped, _RELIABLE)
    _lost(robot, street)
    asked = []
    while not heard and len(asked) < 100:  # it waits for the listener, whom discovery has to find
        asked.append(_localized(robot, street))
    for _ in range(3):
        _localized(robot, street)
    assert _stamp(heard[0]) in asked
    _check_for_amcl(heard[0])

    stamps = count(time_ns() + _SECOND, 10 * _SECOND)

    def after_lost_for(seconds: int) -> int:
        first = next(stamps)
        for step in range(seconds + 1):
            _lost(robot, street, first + step * _SECOND)
        last = first + seconds * _SECOND
        for step in range(1, 4):
            _localized(robot, street, last + step)
        return last + 1

    after_lost_for(3)
    assert len(heard) == 1
    stamp = after_lost_for(6)
    wait_until(lambda: len(heard) == 2, 10, "the second initialpose")
    assert _stamp(heard[1]) == stamp
    for earlier in (3, 4):  # the clock jumps back for good
        robot.publish(raw(street.queries[5], earlier * _SECOND))
        sleep(0.2)
    _lost(robot, street, 5 * _SECOND)
    _lost(robot, street, 11 * _SECOND)
    _localized(robot, street, 12 * _SECOND)
    wait_until(lambda: len(heard) == 3, 10, "an initialpose after the clock has jumped")


def test_global_pose_carries_the_frame_of_the_body(start, map_path, street):
    robot = start(
        map=map_path, sequence_filter=False, publish_rtabmap_global_pose=True, base_frame="base_footprint"
    )
    heard = robot.listen("global_pose", PoseWithCovarianceStamped, _RELIABLE)
    robot.wait_until_it_answers()
    wait_until(lambda: heard or not _localized(robot, street), 20, "global_pose")
    heard.clear()
    _lost(robot, street)
    stamp = _localized(robot, street, place=7)
    wait_until(lambda: heard, 10, "global_pose")
    assert [_stamp(message) for message in heard] == [stamp]
    assert heard[0].header.frame_id == "base_footprint"
    expected = robot.heard["pose"][-1].pose.pose
    assert heard[0].pose.pose == expected


def test_cuvslam_is_answered_when_it_asks(start, map_path, street):
    robot = start(map=map_path, sequence_filter=False, publish_cuvslam_hint=True)
    heard = robot.listen("visual_slam/initial_pose", PoseWithCovarianceStamped, qos_profile_services_default)
    trigger = robot.talk("visual_slam/trigger_hint", PoseWithCovarianceStamped, 10)
    _localized(robot, street)
    _localized(robot, street)
    assert not heard
    trigger(PoseWithCovarianceStamped())
    sleep(0.3)
    _lost(robot, street)
    _localized(robot, street)
    _localized(robot, street)
    wait_until(lambda: heard, 10, "the hint")
    assert len(heard) == 1
    _check_for_amcl(heard[0])


def _check_for_robot_localization(message: PoseWithCovarianceStamped) -> None:
    """A zero variance would become 1e-6 there, and an indefinite covariance breaks the filter."""
    assert message.header.frame_id == "map"
    covariance = np.array(message.pose.covariance).reshape(6, 6)
    assert np.isfinite(covariance).all()
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
    assert (np.diag(covariance) >= 1e-4).all()
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    q = message.pose.pose.orientation
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1, abs=1e-9)


def test_pose_is_what_robot_localization_takes(start, map_path, street):
    """With the QoS of its poseN subscriptions."""
    robot = start(map=map_path, sequence_filter=False)
    heard = robot.listen("localizer/pose", PoseWithCovarianceStamped, qos_profile_sensor_data)
    wait_until(lambda: heard or not _localized(robot, street), 20, "a pose")
    heard.clear()
    _lost(robot, street)
    stamps = [_localized(robot, street, place=place) for place in (3, 9, 15)]
    ahead = _localized(robot, street, time_ns() + 5 * _SECOND)  # of a camera whose clock is fast
    wait_until(lambda: len(heard) == 4, 10, "four poses")
    assert [_stamp(message) for message in heard] == [*stamps, ahead]
    for message in heard:
        _check_for_robot_localization(message)


# --- Transform ----------------------------------------------------------------------------------------------


def _odometry(stamp: int, pose: Pose, frame: str = "odom") -> Odometry:
    message = Odometry(header=Header(stamp=stamp_from_nanoseconds(stamp), frame_id=frame))
    message.child_frame_id = "base_link"
    x, y, z = pose.position.tolist()
    message.pose.pose.position.x, message.pose.pose.position.y, message.pose.pose.position.z = x, y, z
    q = message.pose.pose.orientation
    q.x, q.y, q.z, q.w = pose.quaternion.tolist()
    return message


def test_map_to_odom_is_composed_at_the_images_stamp(start, map_path, street):
    robot = start(map=map_path, sequence_filter=False, publish_map_to_odom=True)
    heard = robot.listen("localizer/map_to_odom", TransformStamped, 100)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    stamp = time_ns() + _SECOND
    for step in range(-5, 6):  # 2 m/s: at another stamp the pose is another one
        drive(_odometry(stamp + step * _SECOND // 10, Pose.from_xyz_yaw(10 + 0.2 * step, -3, 0, 0.7)))
    sleep(0.3)
    _localized(robot, street, stamp)
    wait_until(lambda: heard, 10, "the transform")
    found = heard[-1]
    assert (found.header.frame_id, found.child_frame_id) == ("map", "odom")
    age = (time_ns() - stamp_to_nanoseconds(found.header.stamp)) / 1e9
    assert -0.2 < age < 5
    t, r = found.transform.translation, found.transform.rotation
    map_to_odom = Pose.from_values([t.x, t.y, t.z], [r.x, r.y, r.z, r.w])
    pose = pose_from_message(robot.heard["pose"][-1].pose.pose)
    expected = map_to_odom @ Pose.from_xyz_yaw(10, -3, 0, 0.7)
    np.testing.assert_allclose(expected.position, pose.position, atol=1e-6)
    assert abs(expected.quaternion @ pose.quaternion) == pytest.approx(1, abs=1e-9)

    _lost(robot, street, stamp + _SECOND)
    heard.clear()
    wait_until(lambda: heard, 10, "the transform while the robot is lost")
    for step in range(3):  # the clock jumps back for good
        drive(_odometry(stamp - (100 - step) * _SECOND, Pose.identity()))
    sleep(0.5)
    heard.clear()
    sleep(0.5)
    assert not heard


@pytest.mark.parametrize(
    ("frame", "delay"), [("map", 0), ("odom", 50 * _SECOND)], ids=["wrong frame", "other stamp"]
)
def test_no_transform_from_odometry_that_does_not_fit(start, map_path, street, frame, delay):
    robot = start(map=map_path, sequence_filter=False, publish_map_to_odom=True)
    heard = robot.listen("localizer/map_to_odom", TransformStamped, 100)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    stamp = time_ns()
    drive(_odometry(stamp + delay, Pose.identity(), frame))
    sleep(0.3)
    _localized(robot, street, stamp)
    sleep(0.5)
    assert not heard
    if delay:
        robot.diagnostics(lambda _, values: values.get("no odometry at the image's stamp") == "1")


def test_broken_odometry_is_counted(start, map_path):
    robot = start(map=map_path, sequence_filter=False, publish_map_to_odom=True)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    drive(_odometry(time_ns(), Pose(np.full(3, np.nan), np.array([0, 0, 0, 1.0]))))
    drive(_odometry(time_ns(), Pose(np.zeros(3), np.zeros(4))))
    robot.diagnostics(lambda _, values: values.get("odometry left out") == "2")


def test_transform_is_stamped_in_simulated_time(start, map_path, street):
    robot = start(map=map_path, sequence_filter=False, publish_map_to_odom=True, use_sim_time=True)
    heard = robot.listen("localizer/map_to_odom", TransformStamped, 100)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    clock = robot.talk("/clock", Clock, qos_profile_sensor_data)
    stamp = 1000 * _SECOND
    drive(_odometry(stamp, Pose.identity()))
    sleep(0.3)
    _localized(robot, street, stamp)
    now = count(stamp, _SECOND // 10)
    wait_until(lambda: heard or clock(Clock(clock=stamp_from_nanoseconds(next(now)))), 20, "the transform")
    last = heard[-1]
    assert stamp < _stamp(last) < stamp + 60 * _SECOND


# --- Messages -----------------------------------------------------------------------------------------------


def test_odd_numbers_are_mended_for_consumers_that_believe_them():
    covariance = np.diag([4.0, 0.0, np.inf, np.nan, -1.0, 1e12])
    covariance[0, 1] = covariance[1, 0] = -2.0
    prior = PosePrior(Pose(np.array([1.0, 2, 3]), np.array([0, 0, 3.0, 4.0])), covariance, 1.0)
    message = diagonal_message(prior, Header(frame_id="map"))
    _check_for_amcl(message)
    np.testing.assert_allclose(
        np.diag(np.array(message.pose.covariance).reshape(6, 6)), [4, 1e-4, 1e9, 1e9, 1e-4, 1e9]
    )
    assert message.pose.pose.orientation.z == pytest.approx(0.6)


def test_pose_that_is_none_is_not_sent():
    prior = PosePrior(Pose(np.full(3, np.nan), np.array([0, 0, 0, 1.0])), np.eye(6), 1.0)
    with pytest.raises(PoseError):
        diagonal_message(prior, Header())


def test_descriptor_is_packed_as_rtabmap_unpacks_it():
    descriptor = np.random.default_rng(0).normal(size=300).astype(np.float32)
    packed = pack_descriptor(descriptor)
    assert struct.unpack("<iii", packed[-12:]) == (1, 300, 5)
    np.testing.assert_array_equal(np.frombuffer(zlib.decompress(packed[:-12]), np.float32), descriptor)
