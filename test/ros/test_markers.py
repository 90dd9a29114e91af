"""What rviz is told to draw, and to take away."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.places import Match
from netvlad_ros.markers import match_markers, path_markers

_HEADER = Header(frame_id="map")
_POSE = Pose.from_xyz_yaw(1.0, 2.0)
_PRIOR = PosePrior(_POSE, np.eye(6), 1.0)


class _Map(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.poses)


def _answer(state: State, poses: list[Pose | None], prior: PosePrior | None = None) -> Localization:
    matches = [Match(i, 0, 0.9, pose) for i, pose in enumerate(poses)]
    return Localization(0, state, matches, prior, np.zeros(4, np.float32), 0.5)


def test_places_are_dots_in_the_map_frame_whose_stamp_never_grows_old():
    (dots,) = path_markers(_Map(poses=np.arange(21.0).reshape(3, 7)), "map").markers
    assert [(p.x, p.y, p.z) for p in dots.points] == [(0, 1, 2), (7, 8, 9), (14, 15, 16)]
    assert (dots.action, dots.header, dots.pose.orientation.w) == (Marker.ADD, _HEADER, 1.0)
    assert (dots.lifetime.sec, dots.lifetime.nanosec) == (0, 0)


def test_long_path_is_thinned():
    (dots,) = path_markers(_Map(poses=np.zeros((12_001, 7))), "map").markers
    assert 3000 < len(dots.points) <= 5000


@pytest.mark.parametrize("place_map", [None, _Map(poses=np.full((5, 7), np.nan))])
def test_dots_of_another_map_go(place_map):
    (dots,) = path_markers(place_map, "map").markers
    assert (dots.action, dots.ns) == (Marker.DELETE, "places")


def test_support_goes_to_the_matches_around_the_place_and_to_no_others():
    near, far = Pose.from_xyz_yaw(4.0, 2.0), Pose.from_xyz_yaw(40.0, 2.0)
    answer = _answer(State.LOCALIZED, [far, _POSE, near, None], _PRIOR)
    matches, found, lines, text = match_markers(answer, _POSE, 10.0, _HEADER).markers
    assert [(p.x, p.y) for p in matches.points] == [(40, 2), (1, 2), (4, 2)]
    assert [(p.x, p.y) for p in found.points] == [(1, 2)]
    assert [(p.x, p.y) for p in lines.points] == [(1, 2), (1, 2), (1, 2), (4, 2)]
    assert found.color.g > found.color.r
    assert {marker.lifetime.sec for marker in (matches, found, lines, text)} == {5}


def test_lost_is_red_and_takes_the_lines_away():
    answer = _answer(State.LOST, [_POSE, None])
    matches, found, lines, text = match_markers(answer, _POSE, 10.0, _HEADER).markers
    assert len(matches.points) == 1
    assert matches.color.r > matches.color.g
    assert (found.action, lines.action, text.action) == (Marker.ADD, Marker.DELETE, Marker.ADD)


def test_state_stands_as_text_beside_the_place():
    answer = _answer(State.AMBIGUOUS, [_POSE])
    text = match_markers(answer, _POSE, 10.0, _HEADER).markers[-1]
    assert (text.ns, text.type) == ("state", Marker.TEXT_VIEW_FACING)
    assert text.text == "AMBIGUOUS\nplace 0\nprobability 0.00"
    position = np.array([text.pose.position.x, text.pose.position.y, text.pose.position.z])
    assert 2 < np.linalg.norm(position - _POSE.position) < 5
    assert text.scale.z > 0


def test_matches_without_poses_take_everything_away():
    markers = match_markers(_answer(State.AMBIGUOUS, [None, None]), None, 10.0, _HEADER).markers
    assert [marker.action for marker in markers] == [Marker.DELETE] * 4
