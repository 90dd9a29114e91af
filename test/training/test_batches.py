"""Batches of places; the losses against cases by hand and against finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from netvlad_core.training.batches import (
    PlaceBatch,
    TupleBatch,
    multi_similarity_loss,
    place_batches,
    triplet_ranking_loss,
)
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


def on_circle(*distances: float) -> torch.Tensor:
    """Unit vectors at these Euclidean distances from (1, 0)."""
    angles = 2 * torch.asin(torch.tensor(distances, dtype=torch.float64) / 2)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


QUERY = on_circle(0.0)


@pytest.mark.parametrize(("distance", "violates"), [(0.953, True), (0.955, False), (1.2, False)])
def test_margin_is_of_squared_distances(distance: float, violates: bool) -> None:
    """With d_pos = 0.9 a negative violates below sqrt(0.81 + 0.1) = 0.954."""
    loss, violating = triplet_ranking_loss(QUERY, on_circle(0.9), on_circle(distance), torch.tensor([0]))
    assert violating == violates
    assert loss.item() == pytest.approx(max(0.0, 0.81 + 0.1 - distance**2), abs=1e-12)


def test_sum_is_divided_by_the_violating_triplets_of_all_tuples() -> None:
    queries, positives = QUERY.repeat(2, 1), on_circle(0.5, 1.0)
    negatives = on_circle(0.4, 0.55, 0.9, 1.0, 1.5)
    owners = torch.tensor([0, 0, 0, 1, 1])
    loss, violating = triplet_ranking_loss(queries, positives, negatives, owners)
    assert violating == 3
    by_hand = (0.25 + 0.1 - 0.16) + (0.25 + 0.1 - 0.3025) + (1.0 + 0.1 - 1.0)
    assert loss.item() == pytest.approx(by_hand / 3, abs=1e-12)


def test_triplet_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    queries, positives, negatives = (
        functional.normalize(torch.randn(n, 6, dtype=torch.float64), dim=1).requires_grad_()
        for n in (3, 3, 9)
    )
    owners = torch.arange(9) % 3

    def loss(q: torch.Tensor, p: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return triplet_ranking_loss(q, p, n, owners, margin=0.3)[0]

    assert 0 < triplet_ranking_loss(queries, positives, negatives, owners, margin=0.3)[1] < 9
    assert torch.autograd.gradcheck(loss, (queries, positives, negatives))


def test_nothing_violating_costs_nothing() -> None:
    parts = [part.requires_grad_() for part in (on_circle(0.0), on_circle(0.1), on_circle(1.0, 1.5))]
    query, positive, negatives = parts
    loss, violating = triplet_ranking_loss(query, positive, negatives, torch.tensor([0, 0]))
    loss.backward()
    assert (violating, loss.item()) == (0, 0.0)
    assert all(part.grad is not None and not part.grad.any() for part in parts)


def test_multi_similarity_by_hand() -> None:
    """Four images on a circle; the mining leaves out one pair of each kind of the first image."""
    degrees = torch.tensor([0.0, 10.0, 60.0, 50.0, 120.0], dtype=torch.float64).deg2rad()
    descriptors = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1])

    def cos(a: float, b: float) -> float:
        return math.cos(math.radians(a - b))

    # Kept positives and negatives of each image, as similarities.
    kept = [
        ([cos(0, 60)], [cos(0, 50)]),  # 10 deg is too easy a positive, 120 deg too easy a negative
        ([cos(10, 60)], [cos(10, 50)]),
        ([cos(60, 0), cos(60, 10)], [cos(60, 50), cos(60, 120)]),
        ([cos(50, 120)], [cos(50, 0), cos(50, 10), cos(50, 60)]),
        ([cos(120, 50)], [cos(120, 60)]),
    ]
    alpha, beta, base = 2.0, 5.0, 0.5
    by_hand = sum(
        math.log(1 + sum(math.exp(-alpha * (s - base)) for s in positives)) / alpha
        + math.log(1 + sum(math.exp(beta * (s - base)) for s in negatives)) / beta
        for positives, negatives in kept
    )
    loss, pairs = multi_similarity_loss(descriptors, labels, alpha, beta, base)
    assert pairs == sum(len(positives) + len(negatives) for positives, negatives in kept)
    assert loss.item() == pytest.approx(by_hand / 5, abs=1e-12)


def test_multi_similarity_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    raw = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return multi_similarity_loss(functional.normalize(rows, dim=1), labels, beta=10.0)[0]

    assert torch.autograd.gradcheck(loss, (raw,))


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 1, 2], [0, 0, 0]])
def test_label_alone_in_its_batch_pulls_nothing(labels: list[int]) -> None:
    """What has no positive pulls nothing, and no negative pushes nothing; all stays finite."""
    descriptors = on_circle(0.0, 0.3, 0.4).requires_grad_()
    loss, pairs = multi_similarity_loss(descriptors, torch.tensor(labels))
    loss.backward()
    assert descriptors.grad is not None
    assert torch.isfinite(descriptors.grad).all()
    assert (pairs > 0) == (labels == [0, 0, 1])
    assert bool(descriptors.grad.any()) == (pairs > 0)
    if labels != [0, 0, 1]:
        assert loss.item() == 0
