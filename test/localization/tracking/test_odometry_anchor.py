"""The rigid movement from odometry to the map, from positions that are off by metres."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.odometry_anchor import OdometryAnchor, planar

# map <- odom, far from either origin as in a map of UTM coordinates.
_ODOMETRY = Pose.from_xyz_yaw(4.3e5, 5.4e6, yaw=2.0)


def _at(odometry: Pose) -> tuple[complex, complex]:
    pose = _ODOMETRY @ odometry
    return planar(pose.position), complex(np.exp(1j * pose.yaw))


def _driven(off: float, count: int = 60) -> tuple[OdometryAnchor, Pose]:
    """A drive round a corner; the position of each image has a random error of so many metres."""
    anchor, random, odometry = OdometryAnchor(4.0), np.random.default_rng(0), Pose.identity()
    for step in range(count):
        odometry = odometry @ Pose.from_xyz_yaw(1.0, 0.0, yaw=0.05 if step > 30 else 0.0)
        at, heading = _at(odometry)
        anchor.add(at + off * complex(*random.normal(size=2)), heading, odometry, 0.25, 0.25)
    return anchor, odometry


def test_before_the_first_position_nothing_is_known() -> None:
    assert OdometryAnchor(4.0).carried(Pose.identity()) is None


@pytest.mark.parametrize(("off", "error"), [(0.0, 1e-6), (2.0, 0.8)])
def test_errors_of_single_images_average_out(off: float, error: float) -> None:
    anchor, odometry = _driven(off)
    for ahead in (0.0, 3.0):
        there = odometry @ Pose.from_xyz_yaw(ahead, 0.0)
        carried, expected = anchor.carried(there), _at(there)
        assert carried is not None
        assert abs(carried[0] - expected[0]) <= error
        assert abs(np.angle(carried[1] / expected[1])) < 0.1


def test_position_far_from_odometry_begins_anew() -> None:
    anchor, odometry = _driven(0.5)
    at, heading = _at(odometry)
    anchor.add(at + 40.0, heading, odometry, 0.25, 0.25)
    carried = anchor.carried(odometry)
    assert carried is not None
    assert carried[0] == pytest.approx(at + 40.0)


def test_a_copy_goes_its_own_way() -> None:
    anchor, odometry = _driven(0.5)
    before, copied = anchor.carried(odometry), copy(anchor)
    at, heading = _at(odometry)
    copied.add(at + 3.0, heading, odometry, 1.0, 5.0)
    assert anchor.carried(odometry) == before
    assert copied.carried(odometry) != before
