"""A place knows where it is on its drive, and where the drive goes on."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.routes import Routes


def _places(*poses: Pose | None, sessions: list[int] | None = None) -> Places:
    rows = [[np.nan] * 7 if pose is None else [*pose.position, *pose.quaternion] for pose in poses]
    numbers = None if sessions is None else np.array(sessions, np.int32)
    return Places(np.zeros((len(rows), 2)), np.arange(len(rows)), np.array(rows), sessions=numbers)


def test_index_distance_and_heading_are_those_along_the_drive():
    """East, then north; the camera looks elsewhere all the time."""
    way = [(0, 0), (2, 0), (4, 0), (4, 3), (4, 6)]
    routes = Routes(_places(*(Pose.from_xyz_yaw(x, y, yaw=2.0) for x, y in way)))
    found = [routes[place] for place in range(5)]
    assert [(one.session, one.index, one.count) for one in found] == [(0, index, 5) for index in range(5)]
    assert [one.distance for one in found] == [0, 2, 4, 7, 10]
    corner = np.arctan2(3, 2)
    np.testing.assert_allclose([one.heading for one in found], [0, 0, corner, np.pi / 2, np.pi / 2])


def test_each_drive_of_a_map_is_a_route_of_its_own():
    poses = [Pose.from_xyz_yaw(x, 0) for x in (0, 100, 1, 99, 2)]
    routes = Routes(_places(*poses, sessions=[0, 1, 0, 1, 0]))
    assert [routes[place].index for place in range(5)] == [0, 0, 1, 1, 2]
    assert [routes[place].count for place in range(5)] == [3, 2, 3, 2, 3]
    assert abs(routes[3].heading) == pytest.approx(np.pi)
    assert routes[3].distance == 1


def test_a_robot_that_stands_heads_where_it_looks():
    routes = Routes(_places(*[Pose.from_xyz_yaw(1, 1, yaw=0.7)] * 3))
    assert [routes[place].heading for place in range(3)] == pytest.approx([0.7] * 3)
    assert Routes(_places(Pose.from_xyz_yaw(1, 1, yaw=0.7)))[0].heading == pytest.approx(0.7)


def test_a_drive_without_poses_has_an_order_only():
    route = Routes(_places(Pose.identity(), None, Pose.identity()))[2]
    assert (route.index, route.count) == (2, 3)
    assert np.isnan([route.distance, route.heading]).all()
