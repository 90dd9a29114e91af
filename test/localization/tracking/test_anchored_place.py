"""The place that odometry is at: streets of known places, driven in a frame of its own."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.anchored_place import AnchoredPlace
from netvlad_core.localization.tracking.place_motion import PlaceMotion

# map <- odom, far from either origin as in a map of UTM coordinates.
_ODOMETRY = Pose.from_xyz_yaw(4.3e5, 5.4e6, yaw=2.0)


def _poses(*places: tuple[float, float, float]) -> np.ndarray:
    """(N, 7) from x, y and yaw."""
    poses = [Pose.from_xyz_yaw(x, y, yaw=yaw) for x, y, yaw in places]
    poses = [_ODOMETRY @ pose for pose in poses]
    return np.array([[*pose.position, *pose.quaternion] for pose in poses])


def _corner() -> np.ndarray:
    """Ten places eastwards, ten more northwards, ten metres apart."""
    east = [(10.0 * i, 0.0, 0.0) for i in range(10)]
    north = [(95.0, 5.0 + 10.0 * i, np.pi / 2) for i in range(10)]
    return _poses(*east, *north)


def _driven(
    poses: np.ndarray, believed: list[int], xs: np.ndarray, is_reversed: bool = False
) -> AnchoredPlace:
    """A drive eastwards along y = 1, in odometry, with the places believed in."""
    anchor = AnchoredPlace(PlaceMotion(poses))
    for place, x in zip(believed, xs, strict=True):
        yaw = np.pi if is_reversed else 0.0
        anchor.add(place, is_reversed, Pose.from_xyz_yaw(x, 1.0, yaw=yaw), 0.5, 1.0)
    return anchor


def test_odometry_tells_the_place_better_than_the_place_believed_in() -> None:
    """Those believed in lag half a spacing behind or run ahead; images of a turn show the street ahead."""
    xs = np.arange(0.0, 90.0, 5.0)
    rounded = np.resize([0.1, 0.9, 0.1, 0.1], len(xs))
    anchor = _driven(_corner(), [int(place) for place in xs / 10 + rounded], xs)
    for x in (74.0, 78.0, 84.0):
        assert anchor.nearest(11, False, Pose.from_xyz_yaw(x, 1.0)) == round(x / 10)
    assert anchor.nearest(8, False, Pose.from_xyz_yaw(95.0, 16.0, yaw=np.pi / 2)) == 11


def test_place_is_a_neighbour_of_the_one_believed_in() -> None:
    street = _poses(*((10.0 * i, 0.0, 0.0) for i in range(60)))
    anchor = _driven(street, [0, 1, 2, 3, 4], np.arange(0.0, 50.0, 10.0))
    assert 31 <= anchor.nearest(40, False, Pose.from_xyz_yaw(40.0, 1.0)) <= 33


def test_place_far_from_odometry_begins_anew() -> None:
    """The robot was carried: what was known of odometry is wrong from then on."""
    anchor = _driven(_corner(), [0, 1, 2, 8], np.array([0.0, 10.0, 20.0, 30.0]))
    assert anchor.nearest(8, False, Pose.from_xyz_yaw(31.0, 1.0)) == 8


def test_places_named_before_the_robot_was_on_the_map_soon_count_for_nothing() -> None:
    anchor = AnchoredPlace(PlaceMotion(_corner()))
    for x in (0.0, 10.0, 20.0):
        anchor.add(round(x / 10) + 2, False, Pose.from_xyz_yaw(x, 1.0), 1.0, 0.05)
    anchor.add(3, False, Pose.from_xyz_yaw(30.0, 1.0), 1.0, 0.6)
    assert anchor.nearest(4, False, Pose.from_xyz_yaw(30.0, 1.0)) == 3


@pytest.mark.parametrize("is_reversed", [False, True])
def test_at_a_crossing_the_place_is_that_of_the_street_driven(is_reversed: bool) -> None:
    """The nearest one has been passed on the other street."""
    along = [(10.0 * i + 4.0, 0.0, 0.0) for i in range(10)]
    across = [(50.0, 10.0 * i - 51.0, np.pi / 2) for i in range(10)]
    xs = np.arange(4.0, 54.0, 10.0)[:: -1 if is_reversed else 1]
    believed = list(range(5))[:: -1 if is_reversed else 1]
    anchor = _driven(_poses(*along, *across), believed, xs, is_reversed)
    at = Pose.from_xyz_yaw(49.9, 0.0, yaw=np.pi if is_reversed else 0.0)
    assert anchor.nearest(4, is_reversed, at) in (4, 5)


def test_without_a_drive_or_a_pose_the_place_stays() -> None:
    poses = _corner()
    poses[3] = np.nan
    anchor = AnchoredPlace(PlaceMotion(poses))
    anchor.add(3, False, Pose.identity(), 1.0, 1.0)
    assert anchor.nearest(3, False, Pose.identity()) == 3
    assert anchor.nearest(5, False, Pose.identity()) == 5


def test_a_turn_on_the_spot_does_not_outweigh_the_way() -> None:
    anchor = _driven(_corner(), [0, 1, 2, 3, 4, 5], np.arange(0.0, 60.0, 10.0))
    for _ in range(3):
        anchor.add(7, False, Pose.from_xyz_yaw(50.0, 1.0, yaw=0.3), 0.0, 1.0)
    assert anchor.nearest(7, False, Pose.from_xyz_yaw(50.0, 1.0)) == 5
