"""What other programs hear over DDS from a localizer that is asked for every output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
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
from std_srvs.srv import Empty

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.localizer import Localizer
from netvlad_ros.conversions import (
    pose_from_message,
    pose_to_message,
    stamp_from_nanoseconds,
    stamp_to_nanoseconds,
)
from netvlad_ros.outputs import OUTPUTS
from support.amcl import RELEASES, refusal
from support.robot import raw, wait_until

_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_SECOND = 10**9
_stamps = count(time_ns(), 10**7)


@pytest.fixture(scope="module")
def every_output(ros: None, map_path: Path) -> Iterator[Any]:
    """A localizer with all outputs, which takes any match for a pose."""
    from support.robot import Robot

    asked = dict.fromkeys(OUTPUTS, True)
    robot = Robot(map=map_path, sequence_filter=False, min_similarity=0.0, min_agreement=0.0, **asked)
    yield robot
    robot.close()


def _localized(robot: Any, street: Any, stamp: int | None = None, place: int = 5) -> int:
    """Let the robot recognize a place; returns the stamp of the image."""
    stamp = stamp or next(_stamps)
    robot.ask(raw(street.queries[place], stamp))
    return stamp


def _stamp(message: Any) -> int:
    return stamp_to_nanoseconds(message.header.stamp)


def _odometry(stamp: int, pose: Pose) -> Odometry:
    message = Odometry(header=Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom"))
    message.child_frame_id = "base_link"
    message.pose.pose = pose_to_message(pose)
    return message


def test_nothing_is_sent_unasked(start, map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    images = {f"{robot.namespace}/image", f"{robot.namespace}/image/compressed"}
    topics = {name for name in robot.publishers() if name.startswith(robot.namespace)} - images
    names = ("matches", "pose", "path", "descriptor", "markers", "map_markers", "match_image", "map_info")
    ours = {f"{robot.namespace}/localizer/{name}" for name in names}
    assert ours <= topics
    own_inputs = {f"{robot.namespace}/{name}" for name in ("camera_info", "odom")}
    others = {name for name in topics - ours if "/localizer/" not in name or "map_to_odom" in name}
    assert others <= own_inputs


def test_initialpose_reaches_everybody_who_comes(every_output, street):
    robot = every_output
    for _ in range(2):  # the second one comes while the robot is localized
        heard = robot.listen("initialpose", PoseWithCovarianceStamped, _RELIABLE)
        before = len(heard)
        asked: list[int] = []
        while len(heard) == before and len(asked) < 100:  # discovery has to find the listener first
            asked.append(_localized(robot, street))
        assert _stamp(heard[-1]) in asked
        assert [refusal(heard[-1], release, (1000, 1000)) for release in RELEASES] == [""] * len(RELEASES)
        told = len(heard)
        for _ in range(3):
            _localized(robot, street)
        assert len(heard) == told


def test_nav2_gets_a_new_initialpose_and_none_of_an_image_from_before(every_output, street, monkeypatch):
    """Its behavior trees call a std_srvs/Empty by that name. An image may be in work just then."""
    robot = every_output
    heard = robot.listen("initialpose", PoseWithCovarianceStamped, _RELIABLE)
    wait_until(lambda: heard or not _localized(robot, street), 20, "the first pose")
    locate = Localizer.locate

    def carried_meanwhile(localizer: Localizer, *arguments: Any) -> Localization:
        answer = locate(localizer, *arguments)
        robot.call(Empty, "reinitialize_global_localization")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Localizer, "locate", carried_meanwhile)
        before = _localized(robot, street, place=3)
    after = _localized(robot, street, place=9)
    wait_until(lambda: _stamp(heard[-1]) == after, 10, "the pose of the next image")
    assert before not in map(_stamp, heard)


def test_global_pose_and_the_hint_are_the_pose_of_their_image(every_output, street):
    robot = every_output
    poses = robot.listen("global_pose", PoseWithCovarianceStamped, _RELIABLE)
    topic = "visual_slam/initial_pose"
    hints = robot.listen(topic, PoseWithCovarianceStamped, qos_profile_services_default)
    trigger = robot.talk("visual_slam/trigger_hint", PoseWithCovarianceStamped, 10)
    wait_until(
        lambda: (poses and hints) or not _localized(robot, street), 20, "global_pose and the first hint"
    )
    trigger(PoseWithCovarianceStamped())
    wait_until(lambda: len(hints) == 2 or not _localized(robot, street, place=7), 20, "the next hint")
    stamp = _localized(robot, street, place=9)
    wait_until(lambda: _stamp(poses[-1]) == stamp, 10, "the pose of the last image")
    assert poses[-1].header.frame_id == "base_link"
    by_stamp = {_stamp(message): message.pose.pose for message in robot.heard["pose"]}
    assert poses[-1].pose.pose == by_stamp[stamp]
    assert hints[-1].pose.pose == by_stamp[_stamp(hints[-1])]
    assert len(hints) == 2


def test_pose_is_what_robot_localization_takes(every_output, street):
    """With the QoS of its poseN subscriptions. An indefinite matrix would break its filter."""
    robot = every_output
    heard = robot.listen("localizer/pose", PoseWithCovarianceStamped, qos_profile_sensor_data)
    wait_until(lambda: heard or not _localized(robot, street), 20, "a pose")
    stamps = [_localized(robot, street, place=place) for place in (3, 9, 15)]
    wait_until(lambda: _stamp(heard[-1]) == stamps[-1], 10, "the poses")
    for message in heard:
        assert message.header.frame_id == "map"
        covariance = np.array(message.pose.covariance).reshape(6, 6)
        assert np.isfinite(covariance).all()
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
        assert (np.diag(covariance) >= 1e-4).all()
        assert (np.linalg.eigvalsh(covariance) > 0).all()
        q = message.pose.pose.orientation
        assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1, abs=1e-9)


def test_map_to_odom_is_composed_at_the_images_stamp(every_output, street):
    robot = every_output
    heard = robot.listen("localizer/map_to_odom", TransformStamped, 100)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    stamp = next(_stamps) + _SECOND
    for step in range(-5, 6):  # 2 m/s: at another stamp the pose is another one
        drive(_odometry(stamp + step * _SECOND // 10, Pose.from_xyz_yaw(10 + 0.2 * step, -3, 0, 0.7)))
    robot.diagnostics(lambda _, values: int(values.get("odometry received", 0)) >= 11)
    _localized(robot, street, stamp)
    wait_until(lambda: heard, 10, "the transform")
    found = heard[-1]
    assert (found.header.frame_id, found.child_frame_id) == ("map", "odom")
    t, r = found.transform.translation, found.transform.rotation
    map_to_odom = Pose.from_values([t.x, t.y, t.z], [r.x, r.y, r.z, r.w])
    pose = pose_from_message(robot.heard["pose"][-1].pose.pose)
    expected = map_to_odom @ Pose.from_xyz_yaw(10, -3, 0, 0.7)
    np.testing.assert_allclose(expected.position, pose.position, atol=1e-6)
    assert abs(expected.quaternion @ pose.quaternion) == pytest.approx(1, abs=1e-9)
    for step in range(5):  # the clock jumps back
        drive(_odometry(stamp + (step - 100) * _SECOND // 10 - 100 * _SECOND, Pose.identity()))

    def has_ended() -> bool:
        before = len(heard)
        sleep(0.3)
        return len(heard) == before

    wait_until(has_ended, 10, "the transform to end")


def test_broken_odometry_is_counted(start, map_path):
    robot = start(map=map_path, sequence_filter=False, publish_map_to_odom=True)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    drive(_odometry(next(_stamps), Pose(np.full(3, np.nan), np.array([0, 0, 0, 1.0]))))
    drive(_odometry(next(_stamps), Pose(np.zeros(3), np.zeros(4))))
    robot.diagnostics(lambda _, values: values.get("odometry left out") == "2")


def test_transform_is_stamped_in_simulated_time(start, map_path, street):
    robot = start(
        map=map_path,
        sequence_filter=False,
        min_similarity=0.0,
        min_agreement=0.0,
        publish_map_to_odom=True,
        use_sim_time=True,
    )
    heard = robot.listen("localizer/map_to_odom", TransformStamped, 100)
    drive = robot.talk("odom", Odometry, qos_profile_sensor_data)
    clock = robot.talk("/clock", Clock, qos_profile_sensor_data)
    stamp = 1000 * _SECOND
    drive(_odometry(stamp, Pose.identity()))
    robot.diagnostics(lambda _, values: int(values.get("odometry received", 0)) >= 1)
    _localized(robot, street, stamp)
    now = count(stamp, _SECOND // 10)
    wait_until(lambda: heard or clock(Clock(clock=stamp_from_nanoseconds(next(now)))), 20, "the transform")
    assert stamp < _stamp(heard[-1]) < stamp + 60 * _SECOND
