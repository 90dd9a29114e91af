"""Recall@N as the place recognition literature counts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from netvlad_core.data.radii import CORRECT_WITHIN

RECALL_AT = (1, 5, 10, 20)


def positives_within(places: np.ndarray, queries: np.ndarray, radius: float = CORRECT_WITHIN) -> np.ndarray:
    """Which places are correct answers for which queries.

    Parameters
    ----------
    places : (N, 2 or 3) float, metres.
    queries : (Q, 2 or 3) float, metres, same frame.
    radius : metres.

    Returns
    -------
    (Q, N) bool.
    """
    return cdist(queries, places) <= radius


def recall_at(
    retrieved: np.ndarray, positives: np.ndarray, counts: Sequence[int] = RECALL_AT
) -> dict[int, float]:
    """Share of ALL queries with a positive among their first n retrieved places.

    Parameters
    ----------
    retrieved : (Q, K) int, places, best first.
    positives : (Q, N) bool. A query without any positive counts as failed.
    counts : the n.

    Returns
    -------
    {n: share in [0, 1]}.
    """
    if not len(retrieved):
        return dict.fromkeys(counts, 0.0)
    hits = np.take_along_axis(positives, retrieved, axis=1)
    return {n: float(hits[:, :n].any(axis=1).mean()) for n in counts}
