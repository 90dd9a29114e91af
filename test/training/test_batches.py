"""Batches of places, and the random changes of their images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netvlad_core.training.batches import PlaceBatch, TupleBatch, place_batches
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.places import TrainingSet
from support.training import still_views

CONFIG = replace(TrainingConfig(), places_per_batch=3, images_per_place=3, min_distance=0.0)


def test_places_of_a_batch_are_apart() -> None:
    positions = np.random.default_rng(0).uniform(0, 150, (2, 60, 2))
    places = TrainingSet.build(still_views(positions[0]), still_views(positions[1]), CONFIG)
    asked = []
    for batch in place_batches(places, CONFIG, epoch=0):
        assert isinstance(batch, PlaceBatch)
        assert len(np.unique(batch.rows)) == len(batch.rows)
        queries = [row for row in batch.rows if row >= 60]
        asked += queries
        assert len(queries) == len(np.unique(batch.labels)) in (2, 3)
        for query in queries:
            label = batch.labels[batch.rows == query]
            others = batch.rows[(batch.rows < 60)]
            of_others = batch.labels[batch.rows < 60] != label
            metres = np.linalg.norm(places.views.positions[others] - places.views.positions[query], axis=1)
            assert (metres[of_others] > 25).all()
            assert (metres[~of_others] <= 10).all()
            assert 1 <= (~of_others).sum() <= 2
    assert len(asked) == len(set(asked)) > 0.8 * len(places.queries)


def test_each_label_comes_once() -> None:
    labels = [f"place {i // 4}" for i in range(28)]
    places = TrainingSet.build(still_views(np.zeros((28, 2)), labels=labels), None, CONFIG)
    epochs = [list(place_batches(places, CONFIG, epoch)) for epoch in (0, 0, 1)]
    rows = [np.concatenate([batch.rows for batch in batches]) for batches in epochs]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert (rows[0] != rows[2]).any()
    # Seven labels make two batches of three; the last place has no other to be told from.
    assert [len(np.unique(batch.labels)) for batch in epochs[0] if isinstance(batch, PlaceBatch)] == [3, 3]
    for batch in epochs[0]:
        assert isinstance(batch, PlaceBatch)
        for label in np.unique(batch.labels):
            assert len({labels[row] for row in batch.rows[batch.labels == label]}) == 1
        assert np.bincount(batch.labels).tolist() == [3, 3, 3]


def test_broken_images_leave_a_batch() -> None:
    tuples = TupleBatch(np.array([[0, 1, 4, -1], [2, 3, 5, 4], [6, 7, 5, -1]]))
    assert tuples.without(np.array([4])).tuples.tolist() == [[6, 7, 5, -1]]
    places = PlaceBatch(np.array([5, 6, 7]), np.array([0, 0, 1])).without(np.array([6]))
    assert (places.rows.tolist(), places.labels.tolist()) == ([5, 7], [0, 1])
