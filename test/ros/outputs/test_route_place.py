"""A topological navigator hears where along a drive the robot is, and which way the drive goes on."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from time import time_ns

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import NO_POSES, Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.conversions import stamp_to_nanoseconds
from netvlad_ros.msg import RoutePlace
from netvlad_ros.outputs.route_place import RoutePlaces
from support.answers import localized, lost
from support.recording import RecordingNode
from support.robot import raw, wait_until


@pytest.fixture
def place_map(map_path: Path) -> PlaceMap:
    return PlaceMap.open(map_path)


def _told(place_map: PlaceMap, answer: Localization) -> list[RoutePlace]:
    node = RecordingNode()
    RoutePlaces(node).send(answer, place_map, Header(frame_id="map"))
    return node.sent("~/route_place")


@pytest.mark.parametrize(("yaw", "is_reversed"), [(0.0, False), (0.5, False), (np.pi, True)])
def test_place_along_the_drive_and_which_way_the_robot_faces(
    place_map: PlaceMap, yaw: float, is_reversed: bool
) -> None:
    x, y = place_map.poses[7, :2]
    (message,) = _told(place_map, localized(Pose.from_xyz_yaw(x, y, 0.0, yaw), believed=7))
    assert (message.place_id, message.index, message.count) == (7, 7, len(place_map))
    assert message.distance == pytest.approx(7 * 9.0)
    assert message.heading == pytest.approx(0.0)
    assert message.is_reversed == is_reversed
    assert message.map_id == place_map.header.map_id
    assert message.route == place_map.drives[0]["name"]


def test_a_place_that_is_not_known_is_not_told(place_map: PlaceMap) -> None:
    assert _told(place_map, lost()) == []


def test_a_map_without_poses_has_an_order_all_the_same(place_map: PlaceMap) -> None:
    place_map.poses = np.full_like(place_map.poses, np.nan)
    known = localized(Pose.identity(), believed=3)
    (message,) = _told(place_map, replace(known, state=State.AMBIGUOUS, prior=None, reason=NO_POSES))
    assert (message.index, message.is_reversed) == (3, known.belief.is_reversed)
    assert np.isnan([message.distance, message.heading]).all()


def test_a_drive_is_heard_place_by_place(start, street, map_path) -> None:
    robot = start(
        map=map_path, sequence_filter=False, min_similarity=0.0, min_agreement=0.0, publish_route_place=True
    )
    heard = robot.listen("localizer/route_place", RoutePlace, 10)
    stamps = count(time_ns(), 10**7)
    asked: dict[int, int] = {}

    def see(place: int) -> bool:
        asked[stamp := next(stamps)] = place
        robot.ask(raw(street.queries[place], stamp))
        return bool(heard)

    wait_until(lambda: see(4), 20, "a place")
    for place in (9, 14, 19):
        see(place)
    wait_until(lambda: heard[-1].index == 19, 10, "the last place")
    assert all(abs(m.index - asked[stamp_to_nanoseconds(m.header.stamp)]) <= 1 for m in heard)
    assert {message.header.frame_id for message in heard} == {"map"}
