"""What images between two that are news say is not lost."""

from __future__ import annotations

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.glimpses import Glimpse, Glimpses
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter

_SECOND = 10**9


def _glimpse(*scores: tuple[int, float], measured: tuple[int, float] | None = None) -> Glimpse:
    places, values = zip(*scores)
    return Glimpse(np.array(places), np.array(values), measured)


def _scores(sight: Glimpse) -> dict[int, float]:
    return dict(zip(sight.places.tolist(), sight.scores.tolist()))


def test_each_place_has_its_best_score_since_the_last_image_that_was_news() -> None:
    glimpses = Glimpses(100)
    glimpses.add(0.2, _glimpse((7, 3.0), (5, 1.0)), gap=0.5)
    glimpses.add(0.4, _glimpse((5, 2.0), (9, 0.5)), gap=-0.5)
    seen = glimpses.take(_glimpse((5, 1.5), (8, 1.2)))
    assert _scores(seen) == {5: 2.0, 7: 3.0, 8: 1.2, 9: 1.2}  # 9 may have had 1.2 in the last image
    assert seen.gaps == (0.5, -0.5)
    after = glimpses.take(_glimpse((5, 1.5)))
    assert _scores(after) == {5: 1.5}
    assert after.gaps == ()


def test_the_measured_pose_that_has_most_to_say_for_it_is_kept() -> None:
    glimpses = Glimpses(100)
    glimpses.add(0.2, _glimpse((7, 3.0), measured=(7, 2.0)), gap=0.0)
    glimpses.add(0.4, _glimpse((7, 3.0), measured=(8, 1.0)), gap=0.0)
    assert glimpses.take(_glimpse((7, 3.0))).measured == (7, 2.0)
    assert glimpses.take(_glimpse((7, 3.0))).measured is None


def test_images_of_a_standing_robot_are_not_looked_at() -> None:
    glimpses = Glimpses(100)
    assert not glimpses.wants(0.01)
    assert glimpses.wants(0.1)
    glimpses.add(0.1, _glimpse((7, 3.0)), gap=0.0)
    assert not glimpses.wants(0.1)
    assert not glimpses.wants(0.0)
    glimpses.take(_glimpse((7, 3.0)))
    assert glimpses.wants(0.1)


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
    away = np.array([belief.place for belief in _drive(lifts=3.0)]) - 10 - np.arange(200) / 5
    assert np.abs(away[40:]).max() <= 0.7


def test_the_best_of_several_images_is_no_evidence_for_being_on_the_map() -> None:
    assert all(belief.on_map < 0.2 for belief in _drive(lifts=0.0)[20:])
