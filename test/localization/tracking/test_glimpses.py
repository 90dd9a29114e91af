"""What images between two that are news say is not lost."""

from __future__ import annotations

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.glimpses import Glimpses
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State

_SECOND = 10**9


def _rows(*pairs: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    places, scores = zip(*pairs)
    return np.array(places), np.array(scores)


def _taken(glimpses: Glimpses, *pairs: tuple[int, float]) -> dict[int, float]:
    places, scores, _ = glimpses.take(*_rows(*pairs), None)
    return dict(zip(places.tolist(), scores.tolist()))


def test_each_place_has_its_best_score_since_the_last_image_that_was_news() -> None:
    glimpses = Glimpses(100)
    glimpses.add(0.2, *_rows((7, 3.0), (5, 1.0)), None)
    glimpses.add(0.4, *_rows((5, 2.0), (9, 0.5)), None)
    assert _taken(glimpses, (5, 1.5), (8, 1.2)) == {5: 2.0, 7: 3.0, 8: 1.2, 9: 1.2}  # 9 may have had 1.2
    assert _taken(glimpses, (5, 1.5)) == {5: 1.5}


def test_the_measured_pose_that_has_most_to_say_for_it_is_kept() -> None:
    glimpses = Glimpses(100)
    glimpses.add(0.2, *_rows((7, 3.0)), (7, 2.0))
    glimpses.add(0.4, *_rows((7, 3.0)), (8, 1.0))
    assert glimpses.take(*_rows((7, 3.0)), None)[2] == (7, 2.0)
    assert glimpses.take(*_rows((7, 3.0)), None)[2] is None


def test_images_of_a_standing_robot_are_not_looked_at() -> None:
    glimpses = Glimpses(100)
    for place in range(50):
        glimpses.add(0.01, *_rows((place, 9.0)), (place, 3.0))
    assert _taken(glimpses, (60, 1.0)) == {60: 1.0}


def _drive(lifts: float) -> list[Belief]:
    """Places 20 m apart on a ring, an image each 4 m; a place is seen from within 2 m of it alone."""
    angles = 2 * np.pi * np.arange(60) / 60
    radius = 20.0 * 60 / (2 * np.pi)
    poses = np.zeros((60, 7))
    poses[:, 0], poses[:, 1] = radius * np.cos(angles), radius * np.sin(angles)
    poses[:, 5], poses[:, 6] = np.sin(angles / 2 + np.pi / 4), np.cos(angles / 2 + np.pi / 4)
    sequence, rng, beliefs = SequenceFilter(poses, np.arange(60) * _SECOND), np.random.default_rng(0), []
    for image in range(200):
        at, angle = 10 + image / 5, 2 * np.pi * (10 + image / 5) / 60
        odometry = Pose.from_xyz_yaw(radius * np.cos(angle), radius * np.sin(angle), yaw=angle + np.pi / 2)
        scores = rng.normal(0.0, 1.0, 60) + lifts * (np.abs(np.arange(60) - at) < 0.1)
        typical = float(scores.mean()), float(scores.std())
        beliefs.append(sequence.update(np.arange(60), scores, typical, image * _SECOND, odometry))
    return beliefs


def test_a_place_that_is_passed_between_two_images_that_count_is_seen() -> None:
    """Each third image counts, so of five places one."""
    found = [belief.state is State.LOCALIZED for belief in _drive(lifts=5.0)]
    assert all(found[150:])
    away = np.array([belief.place for belief in _drive(lifts=5.0)])[150:] - 10 - np.arange(150, 200) / 5
    assert np.abs(away).max() <= 0.7
    assert not any(belief.state is State.LOCALIZED for belief in _drive(lifts=0.0))
