"""What one step of training looks at: tuples for the triplet loss, places for the multi-similarity loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.losses import multi_similarity_loss, triplet_ranking_loss
from netvlad_core.training.places import TrainingSet


@dataclass(frozen=True, eq=False)
class TupleBatch:
    """Tuples (T, 2 + negatives) as `Mined` has them."""

    tuples: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """(M,) int64, rows of the views; an image that several tuples share is there once."""
        return np.unique(self.tuples[self.tuples >= 0])

    @property
    def size(self) -> int:
        """Number of tuples."""
        return len(self.tuples)

    def without(self, broken: np.ndarray) -> TupleBatch:
        """The tuples that have none of the rows that cannot be read."""
        return TupleBatch(self.tuples[~np.isin(self.tuples, broken).any(axis=1)])

    def loss(self, descriptors: Tensor, config: TrainingConfig) -> tuple[Tensor, int]:
        """Loss of descriptors (M, D), and the number of violating triplets."""
        places = torch.from_numpy(np.searchsorted(self.rows, self.tuples)).to(descriptors.device)
        owners, columns = (
            torch.from_numpy(found).to(descriptors.device) for found in np.nonzero(self.tuples[:, 2:] >= 0)
        )
        queries, positives = descriptors[places[:, 0]], descriptors[places[:, 1]]
        negatives = descriptors[places[owners, columns + 2]]
        return triplet_ranking_loss(queries, positives, negatives, owners, config.margin)


@dataclass(frozen=True, eq=False)
class PlaceBatch:
    """Several images of each of several places: rows and labels, both (M,) int64."""

    rows: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.rows)

    def without(self, broken: np.ndarray) -> PlaceBatch:
        """The images that can be read."""
        keep = ~np.isin(self.rows, broken)
        return PlaceBatch(self.rows[keep], self.labels[keep])

    def loss(self, descriptors: Tensor, config: TrainingConfig) -> tuple[Tensor, int]:
        """Loss of descriptors (M, D), and the number of pairs that its mining has left."""
        labels = torch.from_numpy(self.labels).to(descriptors.device)
        weights = config.ms_alpha, config.ms_beta, config.ms_base, config.ms_epsilon
        return multi_similarity_loss(descriptors, labels, *weights)


Batch = TupleBatch | PlaceBatch


def tuple_batches(tuples: np.ndarray, size: int) -> list[Batch]:
    """Cut tuples (T, n) into batches."""
    return [TupleBatch(tuples[start : start + size]) for start in range(0, len(tuples), size)]


def place_batches(training_set: TrainingSet, config: TrainingConfig, epoch: int) -> Iterator[Batch]:
    """Batches of places that are no neighbours, each of a query and random ones of its positives.

    With labels each label comes once in an epoch, otherwise each query. No image is a neighbour (see
    `TrainingSet.near`) of another place's query.
    """
    random = np.random.default_rng([config.seed, epoch])
    waiting = random.permutation(len(training_set.queries))
    labels = training_set.views.labels
    if labels is not None:
        _, first = np.unique(labels[training_set.queries[waiting]], return_index=True)
        waiting = waiting[np.sort(first)]
    while len(waiting):
        chosen: list[int] = []
        parts: list[np.ndarray] = []
        images, taboo = np.empty(0, np.int64), np.empty(0, np.int64)
        for index in waiting:
            if len(chosen) == config.places_per_batch:
                break
            near, positives = training_set.near[index], training_set.positives[index]
            count = min(config.images_per_place - 1, len(positives))
            own = np.concatenate(
                [training_set.queries[[index]], random.choice(positives, count, replace=False)]
            )
            if np.isin(own, taboo).any() or np.isin(near, images).any() or np.isin(own, images).any():
                continue
            chosen.append(index)
            parts.append(own)
            images, taboo = np.concatenate([images, own]), np.concatenate([taboo, near])
        if len(chosen) > 1:
            labels_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            yield PlaceBatch(np.concatenate(parts), labels_of)
        waiting = waiting[~np.isin(waiting, chosen)]
