"""The images of one step and their loss: triplets for tuples, multi-similarity for places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netvlad_core.training.config import TrainingConfig
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


def triplet_ranking_loss(
    queries: Tensor, positives: Tensor, negatives: Tensor, owners: Tensor, margin: float = 0.1
) -> tuple[Tensor, int]:
    """Weakly supervised triplet ranking loss (Arandjelovic et al., CVPR 2016, section 4, equation 7).

    A triplet violates when d(q, p)^2 + margin > d(q, n)^2, d the Euclidean distance; the loss is the sum of
    these differences divided by the number of violating triplets.

    Parameters
    ----------
    queries, positives : (T, D) float, one row a tuple.
    negatives : (N, D) float, of all tuples.
    owners : (N,) int64, tuple of each negative.
    margin : m, of squared distances.

    Returns
    -------
    Loss, a scalar (0 with a gradient of zeros if nothing violates), and the number of violating triplets.
    """
    to_positive = (queries - positives).square().sum(dim=1)
    to_negative = (queries[owners] - negatives).square().sum(dim=1)
    hinges = (to_positive[owners] + margin - to_negative).relu()
    violating = int((hinges > 0).sum())
    return hinges.sum() / max(violating, 1), violating


def multi_similarity_loss(
    descriptors: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 50.0,
    base: float = 0.0,
    epsilon: float = 0.1,
) -> tuple[Tensor, int]:
    """Multi-similarity loss over place labels, with its pair mining (Wang et al., CVPR 2019, section 4).

    Pairs are mined by equations 12 and 13: a negative that is more similar than the least similar positive
    less epsilon, a positive that is less similar than the most similar negative plus epsilon. Equation 15
    then weighs what is left, summed over the images of the batch and divided by their number.

    Parameters
    ----------
    descriptors : (N, D) float, L2-normalised.
    labels : (N,) int64, place of each image.
    alpha, beta, base : weight of positive pairs, of negative pairs, and similarity at which both are neutral.
    epsilon : slack of the mining.

    Returns
    -------
    Loss, a scalar (0 with a gradient of zeros if no pair is left), and the number of pairs left.
    """
    similarities = descriptors @ descriptors.T
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive, negative = same & ~itself, ~same
    # An image without positives, or without negatives, has no pair that could be hard.
    hardest_positive = similarities.where(positive, torch.inf).amin(dim=1, keepdim=True)
    hardest_negative = similarities.where(negative, -torch.inf).amax(dim=1, keepdim=True)
    lonely = ~(positive.any(dim=1, keepdim=True) & negative.any(dim=1, keepdim=True))
    positive = positive & (similarities - epsilon < hardest_negative) & ~lonely
    negative = negative & (similarities + epsilon > hardest_positive) & ~lonely
    pull = _log_one_plus_sum(-alpha * (similarities - base), positive) / alpha
    push = _log_one_plus_sum(beta * (similarities - base), negative) / beta
    return (pull + push).sum() / len(labels), int(positive.sum() + negative.sum())


def _log_one_plus_sum(exponents: Tensor, chosen: Tensor) -> Tensor:
    """log(1 + sum of exp over the chosen ones) of each row; a row without any gives 0."""
    zeros = torch.zeros_like(exponents[:, :1])
    return torch.cat([zeros, exponents.where(chosen, -torch.inf)], dim=1).logsumexp(dim=1)
