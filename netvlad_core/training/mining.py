"""Which images a query learns from: its nearest positive and the hardest negatives (section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.processes import Processes

NONE = -1


@dataclass(frozen=True, eq=False)
class Mined:
    """What one mining has found.

    Attributes
    ----------
    tuples : (T, 2 + negatives) int64, rows of the views: query, positive, violating negatives with the
        hardest first, then -1.
    easy, broken : number of queries without a violating negative, and without a readable image or positive.
    """

    tuples: np.ndarray
    easy: int
    broken: int


class Miner:
    """Mines tuples from cached descriptors; the hardest negatives of each query are remembered.

    Attributes
    ----------
    hardest : (Q, hard_negatives) int64, rows of the views for each query of the set, -1 if there is none.
    """

    def __init__(self, training_set: TrainingSet, config: TrainingConfig) -> None:
        self._set, self._config = training_set, config
        self.hardest = np.full((len(training_set.queries), config.hard_negatives), NONE, np.int64)

    def mine(self, descriptors: np.ndarray, queries: np.ndarray, epoch: int, processes: Processes) -> Mined:
        """Mine for some queries, each process for its share of them.

        Parameters
        ----------
        descriptors : (N, D) float of the views; rows of NaN are images that cannot be read.
        queries : (n,) int64, indices into the queries of the set.
        epoch : determines the random sample, with the seed and the query.
        """
        # Sums over processes put the parts together: one is added to rows, so that 0 is "nothing".
        found = np.zeros((len(queries), 2 + self._config.negatives), np.int64)
        hardest = np.zeros((len(queries), self._config.hard_negatives), np.int64)
        for index in processes.share(np.arange(len(queries))):
            row, hard = self._mine_one(descriptors, int(queries[index]), epoch)
            found[index, : len(row)] = row + 1
            hardest[index, : len(hard)] = hard + 1
        found = processes.sum_array(found) - 1
        self.hardest[queries] = processes.sum_array(hardest) - 1
        is_broken, is_hard = found[:, 0] == NONE, found[:, 2] != NONE
        return Mined(found[is_hard], int((~is_broken & ~is_hard).sum()), int(is_broken.sum()))

    def _mine_one(self, descriptors: np.ndarray, query: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """A row of tuples, empty if an image is broken, and the hardest negatives, violating or not."""
        config, row = self._config, self._set.queries[query]
        own = descriptors[row].astype(np.float32)
        positives, to_positives = _by_distance(descriptors, self._set.positives[query], own)
        if not len(positives):  # broken: the query, or all of its positives
            return np.empty(0, np.int64), np.empty(0, np.int64)
        negatives, distances = _by_distance(descriptors, self._candidates(query, epoch), own)
        violating = negatives[distances < to_positives[0] + config.margin][: config.negatives]
        return np.concatenate([[row], positives[:1], violating]), negatives[: config.hard_negatives]

    def _candidates(self, query: int, epoch: int) -> np.ndarray:
        """Random negatives and the hardest of the last time, ascending."""
        database, near = self._set.database, self._set.near[query]
        random = np.random.default_rng([self._config.seed, epoch, query])
        # More than wanted, since some will be near.
        count = min(self._config.random_negatives + len(near), len(database))
        sample = database[random.choice(len(database), count, replace=False)]
        sample = sample[~np.isin(sample, near)][: self._config.random_negatives]
        hardest = self.hardest[query]
        return np.union1d(sample, hardest[hardest != NONE])


def _by_distance(descriptors: np.ndarray, rows: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that can be read, nearest first, and their squared distances; descriptors have length 1."""
    distances = 2 - 2 * (descriptors[rows].astype(np.float32, copy=False) @ own)
    readable = np.isfinite(distances)
    rows, distances = rows[readable], distances[readable]
    order = np.argsort(distances, kind="stable")
    return rows[order], distances[order]
