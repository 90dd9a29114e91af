"""The sequence filter in the node: a drive with odometry over DDS."""

from __future__ import annotations

from time import sleep, time_ns

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from std_srvs.srv import Empty, Trigger

from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds
from netvlad_ros.msg import PlaceMatches
from netvlad_ros.srv import LoadMap, Localize, SaveMap
from support.robot import raw, wait_until

_SECOND = 10**9


def _odometry(stamp: int, pose: Pose) -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.frame_id = "odom"
    message.header.stamp = stamp_from_nanoseconds(stamp)
    message.pose.pose = pose_to_message(pose)
    return message


def _received(robot) -> int:
    return int(robot.node.statistics.values().get("odometry received", "0"))


def _drive(robot, street, places, start: int) -> list[PlaceMatches]:
    """Show images of places, a second apart, each once its odometry has arrived."""
    wait_until(lambda: robot.odometry.get_subscription_count(), 10, "the subscription")
    answers = []
    for second, place in enumerate(places):
        stamp = start + second * _SECOND
        x, y, yaw = street.poses[place]
        known = _received(robot)

        def arrived(stamp=stamp, x=x, y=y, yaw=yaw, known=known) -> bool:
            # Best effort: what is lost is sent again.
            robot.odometry.publish(_odometry(stamp, Pose.from_xyz_yaw(x - 40, y + 7, yaw=yaw)))
            return _received(robot) > known

        wait_until(arrived, 10, "the odometry")
        answers.append(robot.ask(raw(street.queries[place], stamp)))
    return answers


def test_drive_is_localized_by_its_sequence_and_relocalize_forgets(start, street, map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    assert robot.call(Trigger, "relocalize").success
    began = time_ns()
    answers = _drive(robot, street, range(22), began)
    states = [answer.state for answer in answers]
    assert states[0] == PlaceMatches.LOST
    assert states[-1] == PlaceMatches.LOCALIZED
    wait_until(lambda: len(robot.heard["pose"]) == states.count(PlaceMatches.LOCALIZED), 10, "the poses")
    x, y = street.poses[21, :2]
    position = robot.heard["pose"][-1].pose.pose.position
    assert np.hypot(position.x - x, position.y - y) < 12

    assert robot.call(Trigger, "relocalize").success
    answer = _drive(robot, street, [22], began + 22 * _SECOND)[0]
    assert answer.state == PlaceMatches.LOST
    assert answer.matches[0].place_id == 22


def test_nav2_has_it_find_the_robot_anew_and_gets_a_new_initial_pose(start, street, map_path):
    robot = start(map=map_path, publish_initialpose=True)
    arrived = robot.listen("initialpose", PoseWithCovarianceStamped, 10)
    robot.wait_until_it_answers()
    began = time_ns()
    _drive(robot, street, range(22), began)
    wait_until(lambda: len(arrived) == 1, 20, "the first initialpose")
    robot.call(Empty, "reinitialize_global_localization")
    answers = _drive(robot, street, range(2, 23), began + 30 * _SECOND)
    assert answers[0].state == PlaceMatches.LOST
    assert answers[-1].state == PlaceMatches.LOCALIZED
    wait_until(lambda: len(arrived) == 2, 20, "another initialpose")


def test_map_is_extended_by_the_drive_and_stays_as_it_is(start, street, map_path, tmp_path):
    west, longer = tmp_path / "maps" / "west", tmp_path / "maps" / "all"
    write_parts([Part.of(PlaceMap.open(map_path), np.arange(18))], west, "split", 0)
    before = {path.name: path.read_bytes() for path in west.iterdir()}
    robot = start(map=west, recorded_keyframes=100)
    robot.wait_until_it_answers()
    assert robot.call(Trigger, "relocalize").success
    began = time_ns()
    _drive(robot, street, range(24), began)
    for path in (west, "", tmp_path / "maps"):
        assert not robot.call(SaveMap, "save_map", path=str(path), extend=True).success
    response = robot.call(SaveMap, "save_map", path=str(longer), extend=True)
    assert (response.success, response.path) == (True, str(longer)), response.message
    assert "of 24 keyframes are new" in response.message
    assert {path.name: path.read_bytes() for path in west.iterdir()} == before
    added = PlaceMap.open(longer, verify=True).poses[18:]
    assert np.abs(added[-6:, 0] - street.poses[18:, 0]).max() < 5, "in the frame of the map"
    assert robot.node.localizer.place_map.path == west, "the open map stays open"
    assert robot.call(LoadMap, "load_map", path=str(longer)).success
    found = robot.ask(raw(street.queries[22], began + 24 * _SECOND)).matches[0].place_id
    assert found == 18 + len(added) - 2


def test_map_is_not_extended_without_keyframes(robot, tmp_path):
    response = robot.call(SaveMap, "save_map", path=str(tmp_path / "all"), extend=True)
    assert not response.success
    assert "recorded_keyframes" in response.message


def test_service_localize_judges_its_image_alone(robot, street):
    robot.reset_parameters()
    robot.set_parameter("min_similarity", 0.0)
    robot.set_parameter("min_agreement", 0.0)
    answer = robot.call(Localize, "localize", image=raw(street.queries[5], time_ns()))
    assert answer.has_pose
    robot.reset_parameters()


def test_wrong_odometry_is_counted_and_the_node_lives_on(start, street, map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    wait_until(lambda: robot.odometry.get_subscription_count(), 10, "the subscription")
    broken = _odometry(time_ns(), Pose.identity())
    broken.pose.pose.orientation.w = 0.0
    for _ in range(5):
        robot.odometry.publish(broken)
        sleep(0.05)
    status = robot.diagnostics(lambda message, values: "odom left out" in message)
    assert "quaternion" in status.message
    assert robot.ask(raw(street.queries[3], time_ns())).matches[0].place_id == 3
