"""What places usually score: scores are drawn, the share of them that stays is known."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.localization.tracking.usual_scores import UsualScores

_PLACES, _HABIT = 400, 20.0


def _images(stays: float, count: int, seed: int = 0) -> np.ndarray:
    """Standard scores (count, N): a share of the variance stays, the rest is forgotten after some images."""
    rng = np.random.default_rng(seed)
    usual, latest = rng.normal(size=(2, _PLACES))
    rows = []
    for _ in range(count):
        latest = 0.9 * latest + np.sqrt(1 - 0.9**2) * rng.normal(size=_PLACES)
        row = np.sqrt(stays) * usual + np.sqrt(1 - stays) * latest
        rows.append((row - row.mean()) / row.std())
    return np.array(rows)


def _after(rows: np.ndarray, places: np.ndarray | None = None) -> UsualScores:
    usual = UsualScores(_PLACES)
    for row in rows:
        shown = np.arange(_PLACES) if places is None else places
        usual.beyond(shown, row[shown], 1.0, _HABIT)
    return usual


def test_before_the_first_image_nothing_is_usual() -> None:
    usual = UsualScores(_PLACES)
    assert usual.habit(_HABIT) == _HABIT
    assert usual.deviation_left(_HABIT) == 1.0


@pytest.mark.parametrize(("stays", "least", "most"), [(0.0, 20.0, 20.0), (0.2, 15.0, 20.0), (0.85, 2.0, 6.0)])
def test_the_more_of_the_scores_stays_the_sooner_it_is_subtracted(
    stays: float, least: float, most: float
) -> None:
    """As in clear images, and in grey pixels."""
    assert least <= _after(_images(stays, 60)).habit(_HABIT) <= most


@pytest.mark.parametrize("count", [1, 3, 6])
def test_few_images_that_are_alike_do_not_tell_what_stays(count: int) -> None:
    assert _after(_images(0.0, count)).habit(_HABIT) > 10.0


def test_what_stays_is_known_of_a_large_map_too_of_which_few_places_are_shown() -> None:
    rows = _images(0.85, 60)
    shown = np.argsort(-rows.mean(axis=0))[: _PLACES // 4]
    assert _after(rows, shown).habit(_HABIT) < 6.0


def test_habit_is_never_longer_than_asked_for() -> None:
    assert _after(_images(0.85, 60)).habit(1.0) == 1.0


def test_deviation_left_is_that_of_scores_without_what_is_usual() -> None:
    """Two thirds of every image are what places always score."""
    rng = np.random.default_rng(0)
    always, usual = rng.normal(size=_PLACES), UsualScores(_PLACES)
    for _ in range(60):
        row = always + 0.5 * rng.normal(size=_PLACES)
        row = (row - row.mean()) / row.std()
        left = usual.deviation_left(_HABIT)
        assert left == pytest.approx(usual.beyond(np.arange(_PLACES), row, 1.0, _HABIT).std(), abs=0.06)
    assert left < 0.6


def test_memory_keeps_means_when_it_is_halved() -> None:
    usual = _after(_images(0.85, 20))
    before = usual.deviation_left(_HABIT)
    for row in _images(0.85, 1100):
        usual.beyond(np.arange(_PLACES), row, 1.0, _HABIT)
    assert usual.seen < 1000
    assert usual.habit(_HABIT) == pytest.approx(14 * 0.15 / 0.85, abs=0.6)
    assert usual.deviation_left(_HABIT) < before
