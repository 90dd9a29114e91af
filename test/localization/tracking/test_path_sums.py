"""Sums of weak scores along a drive: scores are drawn, the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.path_sums import Path, PathSums
from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State

_PLACES, _IMAGES, _START = 1000, 160, 400
_LIFT = 2.0  # standard deviations: one image in eight finds its place


def _street(spacing: float = 1.0, count: int = _PLACES) -> np.ndarray:
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = spacing * np.arange(count), 1.0
    return poses


def _rows(places: np.ndarray, seed: int = 0) -> np.ndarray:
    """Similarities (Q, N) of images that show these places (Q,)."""
    rows = np.random.default_rng(seed).normal(0.0, 1.0, (len(places), _PLACES))
    rows[np.arange(len(places)), places] += _LIFT
    return 0.3 + 0.05 * rows


def _follow(rows: np.ndarray, spacing: float = 1.0, step: float = 1.0) -> list[Belief]:
    sequence = SequenceFilter(_street(spacing))
    return [
        sequence.update(
            np.arange(_PLACES), row, (row.mean(), row.std()), second * 10**9,
            Pose.from_xyz_yaw(step * spacing * second, 0.0),
        )
        for second, row in enumerate(rows)
    ]  # fmt: skip


_TRUTH = _START + np.arange(_IMAGES)


@pytest.mark.parametrize("spacing", [0.2, 1.0, 10.0])
def test_weak_evidence_of_a_long_drive_is_said_at_any_spacing(spacing: float) -> None:
    rows = _rows(_TRUTH)
    assert (rows.argmax(axis=1) == _TRUTH).mean() < 0.2
    beliefs = _follow(rows, spacing)
    has_pose = np.array([belief.state is State.LOCALIZED for belief in beliefs])
    away = np.abs(np.array([belief.place for belief in beliefs]) - _TRUTH)
    assert has_pose[80:].mean() > 0.9
    assert away[has_pose].max() <= 2


def test_what_all_images_of_a_drive_have_in_common_does_not_hide_the_place() -> None:
    """It is most of them, as in 64x32 grey pixels: what is left says as much as in clear images."""
    always = np.random.default_rng(1).normal(size=_PLACES)
    beliefs = _follow(0.2 * _rows(_TRUTH) + 0.05 * always)
    has_pose = np.array([belief.state is State.LOCALIZED for belief in beliefs])
    away = np.abs(np.array([belief.place for belief in beliefs]) - _TRUTH)
    assert has_pose[80:].mean() > 0.9
    assert away[has_pose].max() <= 2


@pytest.mark.parametrize("seed", range(3))
def test_drive_off_the_map_with_the_same_single_images_stays_silent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    beliefs = _follow(_rows(rng.integers(0, _PLACES, _IMAGES), seed))
    assert all(belief.state is not State.LOCALIZED for belief in beliefs)


def test_drive_through_two_streets_that_look_alike_stays_silent() -> None:
    """Every image of the second street resembles the one 300 places before."""
    rows = _rows(_TRUTH)
    rows[np.arange(_IMAGES), _TRUTH - 300] += 0.05 * _LIFT
    assert all(belief.state is not State.LOCALIZED for belief in _follow(rows))


def test_poses_of_a_weak_drive_end_soon_after_it_has_left_the_map() -> None:
    rng = np.random.default_rng(1)
    elsewhere = rng.integers(0, _PLACES, 60)
    beliefs = _follow(_rows(np.concatenate([_TRUTH, elsewhere])))
    assert beliefs[_IMAGES - 1].state is State.LOCALIZED
    assert all(belief.state is not State.LOCALIZED for belief in beliefs[_IMAGES + 20 :])


def _sums(
    drive: np.ndarray, step: float = 1.0, news: float = 1.0, score: float = 1.0, deviation: float = 1.0
) -> PathSums:
    motion = PlaceMotion(_street())
    sums = PathSums(motion)
    for row, _ in enumerate(drive):
        if row:
            sums.move(Motion(np.array([step, 0.0, 0.0]), 0.0, 0.1, 0.3))
        scores = np.zeros(_PLACES)
        scores[drive[row]] = score
        sums.add(np.arange(_PLACES), scores, scores, deviation, news, 5.0)
    return sums


def test_nothing_is_known_before_the_first_image() -> None:
    assert PathSums(PlaceMotion(_street())).best == Path()


@pytest.mark.parametrize(("step", "is_reversed"), [(1.0, False), (-1.0, True)], ids=["forward", "backward"])
def test_best_path_ends_where_the_drive_does(step: float, is_reversed: bool) -> None:
    places = _START + (np.arange(30) * step).astype(int)
    path = _sums(places, step).best
    assert path.place == places[-1]
    assert path.agrees
    # A robot that reverses, and one that faces the other way: odometry tells them apart.
    assert not path.is_reversed
    if is_reversed:
        assert _sums(places, 1.0).best.is_reversed


def test_evidence_counts_the_way_and_not_the_images() -> None:
    once = _sums(_START + np.arange(20), news=1.0).best
    half = _sums(_START + np.arange(20), news=0.5).best
    assert half.lead < 0.6 * once.lead


def test_path_that_took_the_other_branch_of_a_fork_is_no_chance() -> None:
    """It has nearly all of the sum of the true one, which would leave no evidence."""
    poses, branch, turn = _street(count=300), np.arange(1.0, 51.0), 0.2
    for first, angle in ((200, turn), (250, -turn)):
        poses[first : first + 50, 0] = 199 + np.cos(angle) * branch
        poses[first : first + 50, 1] = np.sin(angle) * branch
        poses[first : first + 50, 5:] = np.sin(angle / 2), np.cos(angle / 2)
    sums = PathSums(PlaceMotion(poses))
    for place in range(216):
        sums.move(Motion(np.array([1.0, 0.0, 0.0]), turn if place == 200 else 0.0, 0.1, 0.3))
        scores = (np.arange(300) == place).astype(float)
        sums.add(np.arange(300), scores, scores, 1.0, 1.0, 5.0)
    assert sums.best.place == 215
    assert sums._paths[0][sums._ends[0] >= 250, 0].max() > 0.8 * sums._paths[0][:, 0].max()
    assert sums.best.evidence > 100


def test_movement_too_long_to_predict_forgets_all_paths() -> None:
    sums = _sums(_START + np.arange(20))
    sums.move(Motion(np.array([10_000.0, 0.0, 0.0]), 0.0, 1.0, 0.3))
    assert sums.best == Path()


@pytest.mark.parametrize(
    ("score", "deviation", "is_poor"), [(3.0, 0.9, True), (1.0, 0.36, False), (4.4, 0.8, False)]
)
def test_match_asks_more_of_clear_images(score: float, deviation: float, is_poor: bool) -> None:
    """What look-alike streets score in colour, and the truth as grey pixels and in colour."""
    path = _sums(_START + np.arange(120), score=score, deviation=deviation).best
    assert path.is_poor == is_poor
    assert (path.match > 0.58) != is_poor


def test_short_path_is_no_evidence_however_well_it_matches() -> None:
    path = _sums(_START + np.arange(8), score=4.4, deviation=0.8).best
    assert not path.is_poor
    assert path.match < 0.58


def test_images_that_seemed_less_clear_than_they_are_match_worse() -> None:
    """A street of equal images, and then another one."""
    street = _START + np.arange(60)
    steady = _sums(street, score=1.0, deviation=0.4).best
    sums = _sums(street[:-1], score=1.0, deviation=0.4)
    sums.move(Motion(np.array([1.0, 0.0, 0.0]), 0.0, 0.1, 0.3))
    scores = (np.arange(_PLACES) == street[-1]).astype(float)
    sums.add(np.arange(_PLACES), scores, scores, 0.8, 1.0, 5.0)
    assert sums.best.place == steady.place
    assert sums.best.match < 0.5 * steady.match


def test_lead_is_the_same_in_a_map_of_ten_times_as_many_places() -> None:
    """Of which the same 1000 candidates are scored."""
    leads = []
    for count in (_PLACES, 10 * _PLACES):
        rng, sums = np.random.default_rng(0), PathSums(PlaceMotion(_street(count=count)))
        for row in range(60):
            sums.move(Motion(np.array([1.0, 0.0, 0.0]), 0.0, 0.1, 0.3))
            scores = np.maximum(rng.normal(size=_PLACES), 0.0)
            scores[_START + row] += 3.0
            sums.add(np.arange(_PLACES), scores, scores, 1.0, 1.0, 5.0)
        leads.append(sums.best.lead)
    assert leads[1] == pytest.approx(leads[0], rel=0.05)
