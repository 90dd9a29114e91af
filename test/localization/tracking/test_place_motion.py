"""Probability that moves as the robot does."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion


def _poses(xs: np.ndarray, ys: np.ndarray, yaws: np.ndarray) -> np.ndarray:
    zeros = np.zeros_like(xs)
    return np.column_stack([xs, ys, zeros, zeros, zeros, np.sin(yaws / 2), np.cos(yaws / 2)])


def _street(count: int = 40) -> np.ndarray:
    """Along x to the middle, then round a corner to the left and along y."""
    half = count // 2
    along = np.arange(half, dtype=float)
    xs = np.concatenate([along, np.full(half, half)])
    ys = np.concatenate([np.zeros(half), along])
    return _poses(xs, ys, np.repeat([0.0, np.pi / 2], half))


def _forward(metres: float, turn: float = 0.0) -> Motion:
    return Motion(np.array([metres, 0.0, 0.0]), turn, 0.1 * metres, 0.2)


def _moved(motion: PlaceMotion, start: int, movement: Motion, is_reversed: bool = False) -> np.ndarray:
    places, probability = motion.move(np.array([start]), np.ones(1), movement, is_reversed)
    assert (np.diff(places) > 0).all()
    moved = np.zeros(len(motion.positions))
    moved[places] = probability
    return moved


@pytest.mark.parametrize(
    ("metres", "is_reversed", "end"), [(5, False, 15), (-4, False, 6), (6, True, 4), (0, False, 10)]
)
def test_it_goes_where_odometry_went(metres: float, is_reversed: bool, end: int) -> None:
    moved = _moved(PlaceMotion(_street()), 10, _forward(metres), is_reversed)
    assert moved.sum() == pytest.approx(1, abs=0.05)
    assert moved @ np.arange(40) / moved.sum() == pytest.approx(end, abs=0.3)


def test_corner_is_taken_by_a_robot_that_turns_and_left_by_one_that_does_not() -> None:
    motion = PlaceMotion(_street())
    turning = Motion(np.array([2.0, 1.0, 0.0]), np.pi / 2, 0.3, 0.2)
    assert _moved(motion, 18, turning)[20:24].sum() > 0.6
    assert _moved(motion, 18, _forward(8)).sum() < 0.05


def test_long_arc_is_followed_in_steps() -> None:
    angles = np.radians(3.0 * np.arange(60))
    motion = PlaceMotion(_poses(19.1 * np.sin(angles), 19.1 * (1 - np.cos(angles)), angles))
    way = Motion.between(
        Pose(motion.positions[5], np.array([0, 0, np.sin(angles[5] / 2), np.cos(angles[5] / 2)])),
        Pose(motion.positions[35], np.array([0, 0, np.sin(angles[35] / 2), np.cos(angles[35] / 2)])),
        0.05,
        0.2,
    )
    moved = _moved(motion, 5, way)
    assert moved.sum() > 0.9
    assert moved @ np.arange(60) / moved.sum() == pytest.approx(35, abs=3)


def test_headings_that_nobody_gave_are_those_of_the_way() -> None:
    poses = _street()
    poses[:, 3:] = [0, 0, 0, 1]
    moved = _moved(PlaceMotion(poses), 25, _forward(4))
    assert moved.argmax() == 29


def test_way_back_on_the_other_lane_does_not_take_the_heading_of_the_first() -> None:
    along = np.arange(30.0)
    both = np.concatenate([along, along[::-1]])
    poses = _poses(both, np.repeat([0.0, 1.0], 30), np.repeat([0.0, np.pi], 30))
    moved = _moved(PlaceMotion(poses), 10, _forward(6))
    assert moved[:30].sum() > 0.95
    assert moved[30:].sum() < 0.05


def test_place_without_a_pose_is_never_reached() -> None:
    poses = _street()
    poses[12] = np.nan
    moved = _moved(PlaceMotion(poses), 10, _forward(2))
    assert moved[12] == 0
    assert np.isfinite(moved).all()
    assert moved.sum() > 0.5


def test_street_is_left_at_its_end() -> None:
    poses = _poses(np.arange(40.0), np.zeros(40), np.zeros(40))
    motion = PlaceMotion(poses)
    assert _moved(motion, 39, _forward(1)).sum() < 0.2
    assert _moved(motion, 20, _forward(1)).sum() == pytest.approx(1, abs=0.05)


def test_motion_is_seen_from_the_heading_at_its_start() -> None:
    before, after = Pose.from_xyz_yaw(5, 5, yaw=np.pi / 2), Pose.from_xyz_yaw(5, 8, yaw=np.pi)
    motion = Motion.between(before, after, 0.1, 0.2)
    np.testing.assert_allclose(motion.displacement, [3, 0, 0], atol=1e-12)
    assert motion.turn == pytest.approx(np.pi / 2)
    assert motion.distance_sigma == pytest.approx(0.3)
