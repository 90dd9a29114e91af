"""Mined tuples against brute force over all pairs, and the file that the descriptors come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.mining import Miner
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.processes import Processes
from support.training import still_views

CONFIG = replace(TrainingConfig(), min_distance=0.0, negatives=6, hard_negatives=6, margin=0.3)
ALONE = Processes("cpu")


@pytest.fixture(scope="module")
def places() -> TrainingSet:
    random = np.random.default_rng(0)
    database, queries = (still_views(random.uniform(0, 100, (count, 2))) for count in (60, 40))
    return TrainingSet.build(database, queries, CONFIG)


@pytest.fixture(scope="module")
def descriptors(places: TrainingSet) -> np.ndarray:
    """Random ones of length 1, in which neighbours are a little alike."""
    random = np.random.default_rng(1)
    rows = np.cos(places.views.positions[:, :2] @ random.normal(0, 0.05, (2, 16)) + random.normal(size=16))
    rows += 0.5 * random.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(places: TrainingSet, descriptors: np.ndarray) -> list[list[int]]:
    """Tuples by distances between all pairs and the rules as they are written down."""
    positions = places.views.positions
    tuples = []
    for query in places.queries:
        metres = np.linalg.norm(positions[places.database] - positions[query], axis=1)
        squared = ((descriptors[places.database] - descriptors[query]).astype(float) ** 2).sum(axis=1)
        positive = min(np.flatnonzero(metres <= 10), key=lambda row: squared[row])
        violating = [row for row in np.flatnonzero(metres > 25) if squared[row] < squared[positive] + 0.3]
        if violating:
            tuples.append([query, positive, *sorted(violating, key=lambda row: squared[row])[:6]])
    return tuples


def mine(miner: Miner, places: TrainingSet, descriptors: np.ndarray, epoch: int = 0):
    return miner.mine(descriptors, np.arange(len(places.queries)), epoch, ALONE)


def as_lists(tuples: np.ndarray) -> list[list[int]]:
    return [[row for row in one if row >= 0] for one in tuples.tolist()]


def test_a_sample_of_all_gives_what_brute_force_gives(places: TrainingSet, descriptors: np.ndarray) -> None:
    mined = mine(Miner(places, CONFIG), places, descriptors)
    expected = brute_force(places, descriptors)
    assert as_lists(mined.tuples) == expected
    assert any(len(one) < 8 for one in expected), "some have fewer than the most negatives"
    assert mined.easy == len(places.queries) - len(expected) > 0
    assert mined.broken == 0


def test_hardest_negatives_are_looked_at_again(places: TrainingSet, descriptors: np.ndarray) -> None:
    """They are found again without any random sample, also by a miner that was told of them."""
    miner = Miner(places, CONFIG)
    first = mine(miner, places, descriptors)
    again = Miner(places, replace(CONFIG, random_negatives=0))
    assert not len(mine(again, places, descriptors).tuples)
    again.hardest = miner.hardest.copy()
    np.testing.assert_array_equal(mine(again, places, descriptors).tuples, first.tuples)
    np.testing.assert_array_equal(again.hardest, miner.hardest)


def test_sample_is_of_the_wanted_size_and_changes_with_the_epoch(
    places: TrainingSet, descriptors: np.ndarray
) -> None:
    miner = Miner(places, replace(CONFIG, random_negatives=10, margin=4.0, negatives=20, hard_negatives=0))
    first, same, other = (mine(miner, places, descriptors, epoch).tuples for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert ((first[:, 2:] >= 0).sum(axis=1) == 10).all()
    near = dict(zip(places.queries.tolist(), places.near))
    assert all(not np.isin(one[2:], near[one[0]]).any() for one in first)


def test_broken_images_are_never_chosen(places: TrainingSet, descriptors: np.ndarray) -> None:
    broken = descriptors.copy()
    lonely = min(range(len(places.queries)), key=lambda q: len(places.positives[q]))
    gone = [int(places.queries[(lonely + 1) % len(places.queries)]), *places.positives[lonely].tolist(), 3]
    broken[gone] = np.nan
    mined = mine(Miner(places, CONFIG), places, broken)
    assert not np.isin(mined.tuples, gone).any()
    assert mined.broken >= 2
    assert len(mined.tuples) + mined.easy + mined.broken == len(places.queries)
