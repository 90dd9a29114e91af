"""The views that several drives have of a spot speak together."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization import appearances
from netvlad_core.localization.appearances import Appearances
from netvlad_core.localization.spots import Spots
from netvlad_core.mapping.places import Places


def _ranked(xs: list[float], sessions: list[int], similarities: list[float], usual: list[float]) -> list[int]:
    """Rows of the map in the order of their spots, the best view of each."""
    poses = np.array([[x, 0, 0, *Pose.identity().quaternion] for x in xs])
    places = Places(np.zeros((len(xs), 4)), np.arange(len(xs)), poses, sessions=np.array(sessions, np.int32))
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
