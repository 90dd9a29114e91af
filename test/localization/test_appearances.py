"""The views that several drives have of a spot speak together."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization import appearances
from netvlad_core.localization.appearances import Appearances
from netvlad_core.localization.spots import Spots
from netvlad_core.mapping.places import Places


def _places(xs: list[float], sessions: list[int], descriptors: np.ndarray | None = None) -> Places:
    poses = np.array([[x, 0, 0, *Pose.identity().quaternion] for x in xs])
    rows = np.zeros((len(xs), 4)) if descriptors is None else descriptors
    return Places(rows, np.arange(len(xs)), poses, sessions=np.array(sessions, np.int32))


def _ranked(xs: list[float], sessions: list[int], similarities: list[float], usual: list[float]) -> list[int]:
    """Rows of the map in the order of their spots, the best view of each."""
    places = _places(xs, sessions)
    order = np.argsort(-np.array(similarities), kind="stable")
    found = Appearances(places, Spots.of_map(places, 1.0)).ranked(
        order, np.array(similarities)[order], np.array(usual)
    )
    return order[found].tolist()


def test_two_views_beat_one_that_is_a_little_better() -> None:
    """Spots at 0, 100 and 200 m, seen by noon (rows 0 to 2) and by night (rows 3 to 5)."""
    xs, drives = [0, 100, 200] * 2, [0, 0, 0, 1, 1, 1]
    assert _ranked(xs, drives, [0.5, 0.52, 0.1, 0.5, 0.1, 0.2], [0.2, 0.2]) == [0, 1, 5]
    assert _ranked(xs, drives, [0.5, 0.8, 0.1, 0.5, 0.1, 0.2], [0.2, 0.2]) == [1, 0, 5], "much better wins"


def test_drive_that_was_elsewhere_neither_wins_nor_loses_by_its_light() -> None:
    """By night all of the other drive is alike; it has only been at 200 m."""
    xs, drives = [0, 100, 200, 200], [0, 0, 0, 1]
    assert _ranked(xs, drives, [0.45, 0.1, 0.05, 0.5], [0.2, 0.5])[0] == 0, "0.25 above what is usual"
    assert _ranked(xs, drives, [0.25, 0.1, 0.05, 0.7], [0.2, 0.5])[0] == 3


def test_view_nearby_stands_for_one_that_is_missing() -> None:
    """Pruned: noon has kept 0 and 100 m, the night 3 and 103 m, which are spots of their own."""
    xs, drives = [0, 100, 3, 103], [0, 0, 1, 1]
    assert _ranked(xs, drives, [0.5, 0.45, 0.3, 0.62], [0.2, 0.5])[:2] == [3, 1]


def test_without_room_the_best_view_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearances, "_MOST_NUMBERS", 5)
    xs, drives = [0, 100, 200] * 2, [0, 0, 0, 1, 1, 1]
    assert _ranked(xs, drives, [0.5, 0.52, 0.1, 0.5, 0.1, 0.2], [0.2, 0.2]) == [1, 0, 5]


def test_score_is_half_that_of_all_views() -> None:
    """Of two places that are alike to one drive, the one that the other drive also prefers scores more."""
    rng = np.random.default_rng(0)
    descriptors = rng.normal(0, 0.1, (40, 8)).astype(np.float32)
    descriptors[[3, 7], 0], descriptors[23, 0] = 0.6, 0.5  # rows 20 to 39 are the other drive
    places = _places([10.0 * x for x in range(20)] * 2, [0] * 20 + [1] * 20, descriptors)
    spots = Spots.of_map(places, 1.0)
    query = np.eye(8, dtype=np.float32)[0]
    similarities = descriptors @ query
    order = np.argsort(-similarities, kind="stable")
    alone = similarities[order] / 0.1
    usual = np.array([similarities[:20].mean(), similarities[20:].mean()])
    scores = Appearances(places, spots).scores(query, order, similarities[order], usual, alone)
    found = np.empty(40)
    found[order] = scores
    assert similarities[3] == similarities[7]
    assert found[3] > found[7] + 0.1
    assert found[3] - found[23] == pytest.approx((similarities[3] - similarities[23]) / 0.1, abs=1e-4), (
        "among the views of one spot nothing changes"
    )
