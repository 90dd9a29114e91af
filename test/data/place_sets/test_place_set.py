"""What is correct in a set of places, and what stays correct when images go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError


def _images(count: int, **columns: Any) -> PlaceImages:
    return PlaceImages(Path("images"), [f"{row}.png" for row in range(count)], **columns)


_DATABASE = _images(
    4,
    positions=np.array([[0.0, 0.0], [20.0, 0.0], [40.0, 0.0], [60.0, 0.0]]),
    headings=np.radians([0.0, 180.0, 0.0, 0.0]),
    labels=np.array(["a", "b", "b", "c"]),
)
_QUERIES = _images(
    2,
    positions=np.array([[10.0, 0.0], [60.0, 0.0]]),
    headings=np.radians([0.0, 90.0]),
    labels=np.array(["b", "d"]),
)


def _rows(places: PlaceSet, *limits: float | None) -> list[list[int]]:
    return [rows.tolist() for rows in places.positives(*limits)]


def test_lists_come_before_positions_and_positions_before_labels() -> None:
    places = PlaceSet("street", "", _DATABASE, _QUERIES)
    assert _rows(places) == [[0, 1], [2, 3]]
    assert _rows(places, 10.0) == [[0, 1], [3]]
    assert _rows(places, 10.0, np.radians(45.0)) == [[0], []]
    listed = replace(places, correct=[np.array([3]), np.array([0])])
    assert _rows(listed, 10.0) == [[3], [0]]
    labelled = replace(places, queries=replace(_QUERIES, positions=None))
    assert _rows(labelled) == [[1, 2], []]
    unknown = replace(places, queries=_images(2))
    with pytest.raises(SourceError, match="street has neither positions nor labels nor a ground-truth file"):
        unknown.positives()
    with pytest.raises(SourceError, match="has no headings"):
        replace(places, queries=replace(_QUERIES, headings=None)).positives(heading=1.0)


def test_lists_follow_the_images_that_are_kept() -> None:
    places = PlaceSet(
        "street",
        "",
        _DATABASE,
        _QUERIES,
        correct=[np.array([0, 3]), np.array([2])],
        ignored=[np.array([1]), np.array([0, 2])],
        subsets={"night": np.array([False, True])},
    )
    fewer = places.with_images(np.array([2, 3]), np.array([1]))
    assert (fewer.database.names, fewer.queries.names) == (["2.png", "3.png"], ["1.png"])
    assert fewer.ignored is not None
    assert [rows.tolist() for rows in fewer.ignored] == [[0]]
    assert _rows(fewer) == [[0]]
    assert fewer.subsets["night"].tolist() == [True]
    assert fewer.database.labels is not None
    assert fewer.database.labels.tolist() == ["b", "c"]
    both = places.with_images(np.array([3, 0]), np.array([0, 1]))
    assert _rows(both) == [[1, 0], []]
