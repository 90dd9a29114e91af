"""One answer is told to everybody, and everybody hears of the same place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from visualization_msgs.msg import Marker

from netvlad_core.localization.answer import Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match
from netvlad_ros.answers import Answers
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.match_image import draw_match
from netvlad_ros.msg import PlaceMatches
from support.answers import SECOND, localized, lost, moment
from support.recording import RecordingNode

_PARAMETERS = {
    "map_frame": "",
    "base_frame": "base_link",
    "agreement_radius": 10.0,
    "publish_descriptor": True,
    "publish_initialpose": True,
    "publish_map_to_odom": True,
    "map_to_odom_planar": False,
    "publish_route_place": False,
    "publish_rtabmap_global_pose": False,
    "publish_cuvslam_hint": False,
}
_BELIEVED, _ELSEWHERE = 5, 15


@pytest.fixture
def place_map(map_path: Path) -> PlaceMap:
    return PlaceMap.open(map_path)


def _tell(**parameters: Any) -> tuple[RecordingNode, Answers]:
    node = RecordingNode(**{**_PARAMETERS, **parameters})
    answers = Answers(node, Statistics())
    return node, answers


def _answer(place_map: PlaceMap, stamp: int = SECOND, place: int = _BELIEVED) -> Localization:
    """A drive at one place, whose present image resembles another one most."""
    rows = (_ELSEWHERE, place, place + 1)
    matches = tuple(
        Match(row, 0, 0.9 - i / 10, place_map.pose(row)) for i, row in enumerate(rows) if row < len(place_map)
    )
    return localized(place_map.pose(place), stamp, believed=place, matches=matches)


def _at(point: Any) -> list[float]:
    return [point.x, point.y, point.z]


def test_message_pose_path_markers_and_picture_name_the_place_believed_in(place_map: PlaceMap) -> None:
    assert np.linalg.norm(place_map.poses[_BELIEVED, :3] - place_map.poses[_ELSEWHERE, :3]) > 20
    node, answers = _tell()
    answers.open_outputs()
    answer, now = _answer(place_map), moment()
    here = place_map.poses[_BELIEVED, :3].tolist()
    answers.publish(now, answer, place_map)

    (message,) = node.sent("~/matches")
    assert (message.state, message.place_id) == (PlaceMatches.LOCALIZED, _BELIEVED)
    assert message.probability == pytest.approx(0.97)
    assert message.reason == ""
    assert message.matches[0].place_id == _ELSEWHERE
    (pose,) = node.sent("~/pose")
    assert _at(pose.pose.pose.position) == here
    (path,) = node.sent("~/path")
    assert _at(path.poses[0].pose.position) == here
    (initial,) = node.sent("initialpose")
    assert _at(initial.pose.pose.position) == here
    ((matches, found, support, text),) = (m.markers for m in node.sent("~/markers"))
    assert len(matches.points) == 3
    assert [_at(point) for point in found.points] == [here]
    assert text.text.split("\n")[:2] == ["LOCALIZED", f"place {_BELIEVED}"]
    ends = [_at(point) for point in support.points[1::2]]
    assert here in ends
    assert place_map.poses[_ELSEWHERE, :3].tolist() not in ends
    (picture,) = node.sent("~/match_image")
    expected = draw_match(now.image, place_map.image(_BELIEVED), answer)
    np.testing.assert_array_equal(np.frombuffer(picture.data, np.uint8).reshape(expected.shape), expected)
    wrong = draw_match(now.image, place_map.image(_ELSEWHERE), answer)
    assert wrong.shape != expected.shape or (wrong != expected).any()
    for told in (message, pose, path, initial):
        assert told.header.frame_id == place_map.header.frame_id
        assert told.header.stamp == now.header.stamp


def test_answer_without_a_pose_says_why_and_sends_none(place_map: PlaceMap) -> None:
    node, answers = _tell()
    answers.open_outputs()
    answers.publish(moment(), lost(), place_map)
    assert node.sent("~/matches")[0].reason == "not similar"
    assert not any(node.sent(topic) for topic in ("~/pose", "~/path", "initialpose"))
    _, _, support, _ = node.sent("~/markers")[0].markers
    assert support.action == Marker.DELETE


def test_outputs_do_not_hear_where_the_robot_was_before_it_was_carried(place_map: PlaceMap) -> None:
    node, answers = _tell()
    answers.open_outputs()
    answers.publish(moment(), _answer(place_map), place_map, is_current=False)
    assert len(node.sent("~/pose")) == 1
    assert not node.sent("initialpose")


@pytest.mark.parametrize("frame", ["map", ""])
def test_poses_are_in_the_frame_of_the_map_unless_it_is_renamed(place_map: PlaceMap, frame: str) -> None:
    place_map.header = replace(place_map.header, frame_id="odom")
    node, answers = _tell(map_frame=frame)
    answers.tell_map(place_map)
    answers.publish(moment(), _answer(place_map), place_map)
    used = frame or "odom"
    info = node.sent("~/map_info")[0]
    assert (info.header.frame_id, info.frame_id) == (used, "odom")
    dots = node.sent("~/map_markers")[0].markers[0]
    assert dots.header.frame_id == used
    assert (dots.header.stamp.sec, dots.header.stamp.nanosec) == (0, 0)
    for topic in ("~/matches", "~/pose", "~/path"):
        assert node.sent(topic)[0].header.frame_id == used
    level, words = ("warning", "without a transform") if frame else ("info", "'odom'")
    assert words in node.log[level][0]


def test_closed_map_is_told_by_empty_fields() -> None:
    node, answers = _tell()
    answers.tell_map(None)
    assert node.sent("~/map_info")[0].map_id == ""
    assert node.sent("~/map_markers")[0].markers[0].action == Marker.DELETE


def test_path_grows_with_the_way_is_bounded_and_begins_anew(place_map: PlaceMap) -> None:
    node, answers = _tell()
    pose = place_map.pose(0)
    for step in range(2500):  # 0.3 m each
        moved = replace(pose, position=pose.position + np.array([0.3 * step, 0, 0]))
        answers.publish(moment(SECOND + step), localized(moved, SECOND + step), place_map)
    path = node.sent("~/path")[-1].poses
    assert len(path) == 1000
    steps = np.diff([one.pose.position.x for one in path])
    np.testing.assert_allclose(steps, 0.6)
    answers.forget()
    answers.publish(moment(), localized(pose), place_map)
    assert len(node.sent("~/path")[-1].poses) == 1


def test_nothing_is_drawn_for_nobody(place_map: PlaceMap) -> None:
    node, answers = _tell(publish_descriptor=False)
    for topic in ("~/markers", "~/match_image", "~/path"):
        node.publishers[topic].listeners = 0
    answers.publish(moment(), _answer(place_map), place_map)
    assert not any(node.sent(topic) for topic in ("~/markers", "~/match_image", "~/path", "~/descriptor"))


def test_outputs_come_and_go_with_the_node(place_map: PlaceMap) -> None:
    node, answers = _tell()
    assert "initialpose" not in node.publishers
    answers.open_outputs()
    assert {"initialpose", "~/map_to_odom"} <= set(node.publishers)
    answers.close_outputs()
    assert "initialpose" not in node.publishers


def test_states_are_counted(place_map: PlaceMap) -> None:
    statistics = Statistics()
    answers = Answers(RecordingNode(**_PARAMETERS), statistics)
    for state in (State.LOST, State.LOCALIZED, State.LOCALIZED):
        answer = lost() if state is State.LOST else _answer(place_map)
        answers.publish(moment(), answer, place_map)
    values = statistics.values()
    assert (values["LOST"], values["LOCALIZED"]) == ("1", "2")
