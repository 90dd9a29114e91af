"""Precisions compared on one map: what counts, and against what."""

from __future__ import annotations

from collections import Counter

import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError, SourceError
from netvlad_core.evaluation.arithmetic import compare_precisions
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.networks import random_network
from support.street import street, view

_FRONTS = street(seed=1, metres=80)


def _frames(*positions: float | None) -> list[Frame]:
    return [
        Frame(f"{x}", 0, None if x is None else Pose.from_xyz_yaw(x, 0.0), lambda x=x: view(_FRONTS, x or 0))
        for x in positions
    ]


def test_recall_is_counted_within_the_threshold_and_figures_against_the_first_extractor(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    frames = _frames(9.0, None, 41.0)
    for threshold, recall in ((25, 1), (0.5, 0)):  # the queries stand a metre from the places
        left_out: Counter[str] = Counter()
        pair = {"first": extractor, "again": extractor}
        results = compare_precisions(street_map, frames, pair, left_out, threshold)
        for result in results.values():
            assert (result.queries, result.recall) == (2, dict.fromkeys((1, 5, 10), recall))
            assert result.similarity == pytest.approx(1)
            assert result.seconds > 0
        assert left_out == {"without a true pose": 1}


def test_another_model_and_a_drive_without_poses_are_refused(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    other = Extractor.of(random_network("alexnet", [view(_FRONTS, x) for x in range(0, 60, 6)]), "cpu")
    with pytest.raises(MapError, match="cannot be compared"):
        compare_precisions(street_map, _frames(9.0), {"other": other}, Counter())
    with pytest.raises(SourceError, match="no query has a true pose"):
        compare_precisions(street_map, _frames(None), {"right": extractor}, Counter())
