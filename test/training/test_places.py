"""Neighbours by position, heading, time and label, against rules applied pair by pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.errors import SourceError
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.views import Views
from support.training import still_views

CONFIG = TrainingConfig()


@pytest.fixture(scope="module")
def drives() -> tuple[Views, Views]:
    random = np.random.default_rng(0)
    database, queries = (
        still_views(random.uniform(0, 60, (count, 2)), random.uniform(-np.pi, np.pi, count))
        for count in (80, 50)
    )
    return database, queries


@pytest.mark.parametrize(
    "options", [{}, {"heading_limit": 40.0}, {"min_distance": 0.0, "positive_radius": 25.0}]
)
def test_two_drives(drives: tuple[Views, Views], options: dict) -> None:
    database, queries = drives
    config = replace(CONFIG, **options)
    found = TrainingSet.build(database, queries, config)
    left_out = 0
    rows = iter(range(len(found.queries)))
    for query in range(len(queries)):
        distances = np.linalg.norm(database.positions - queries.positions[query], axis=1)
        turn = np.degrees(np.abs(database.headings - queries.headings[query]))
        turn = np.minimum(turn, 360 - turn)
        in_reach = (distances > config.min_distance) & (distances <= config.positive_radius)
        expected = np.flatnonzero(in_reach & (turn <= config.heading_limit))
        if not len(expected):
            left_out += 1
            continue
        row = next(rows)
        assert found.queries[row] == len(database) + query
        np.testing.assert_array_equal(found.positives[row], expected)
        np.testing.assert_array_equal(found.near[row], np.flatnonzero(distances <= config.negative_radius))
    assert found.without_positive == left_out
    assert len(list(rows)) == 0


def test_one_drive_has_positives_only_from_another_lap() -> None:
    """Two laps of a circle of 100 m, an image each second and metre."""
    angles = np.arange(200) / 100 * 2 * np.pi
    circle = still_views(50 / np.pi * np.column_stack([np.cos(angles), np.sin(angles)]))
    found = TrainingSet.build(circle, None, replace(CONFIG, min_distance=0.0))
    assert len(found.queries) == 200
    assert found.without_positive == 0
    for row, positives in zip(found.queries, found.positives):
        assert (np.abs(positives - row) > 30).all()
        other_lap = (row + 100) % 200
        assert {*positives} >= {other_lap + step for step in range(-9, 10) if 0 <= other_lap + step < 200}


def test_unknown_heading_agrees_with_any() -> None:
    """Three images of one place, of which the second looks the other way and the third does not say."""
    there = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [500.0, 0.0]])
    database = still_views(there, np.array([0.0, np.pi, np.nan, 0.0]))
    found = TrainingSet.build(database, still_views(there[:1] + 1), replace(CONFIG, heading_limit=60.0))
    assert [rows.tolist() for rows in found.positives] == [[0, 2]]


def test_labels_say_what_is_one_place() -> None:
    """Positions do not matter then; what is alone with its label is left out."""
    labels = ["a", "b", "a", "c", "b", "a"]
    found = TrainingSet.build(still_views(np.zeros((6, 2)), labels=labels), None, CONFIG)
    assert found.queries.tolist() == [0, 1, 2, 4, 5]
    assert [rows.tolist() for rows in found.positives] == [[2, 5], [4], [0, 5], [1], [0, 2]]
    assert [rows.tolist() for rows in found.near] == [[0, 2, 5], [1, 4], [0, 2, 5], [1, 4], [0, 2, 5]]
    assert found.without_positive == 1


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([0.0], ["several images", "found 1"]),
        ([0.0, 100.0], ["none of the 2 queries", "second drive"]),
        ([0.0, 0.0, 500.0], ["none of the 3 queries", "30 s apart"]),
    ],
)
def test_nothing_to_learn_from_is_said(positions: list[float], words: list[str]) -> None:
    images = still_views(np.column_stack([positions, np.zeros(len(positions))]))
    with pytest.raises(SourceError) as caught:
        TrainingSet.build(images, None, CONFIG)
    assert all(word in str(caught.value) for word in words)


def test_a_single_place_is_refused() -> None:
    two = still_views(np.array([[0.0, 0.0], [3.0, 0.0]]))
    with pytest.raises(SourceError, match="no negatives"):
        TrainingSet.build(two, two, CONFIG)
