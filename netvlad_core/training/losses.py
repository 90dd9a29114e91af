"""What training makes small: the triplet ranking loss and the multi-similarity loss."""

from __future__ import annotations

import torch
from torch import Tensor


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
