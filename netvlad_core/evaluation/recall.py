"""Recall@N as the place recognition literature counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.radii import CORRECT_WITHIN

RECALL_AT = (1, 5, 10, 20)


@dataclass(frozen=True, eq=False)
class Recall:
    """How early each query finds a correct place.

    Attributes
    ----------
    first_correct : (Q,) float, rank of the first correct place from 0; inf if none is among the ranked.
    has_positive : (Q,) bool, whether there is a correct place at all. Queries without one count as failed.
    is_trivial : (Q,) bool, whether every place is correct; such a query tells nothing and does not count.
    """

    first_correct: np.ndarray
    has_positive: np.ndarray
    is_trivial: np.ndarray

    def at(self, counts: Sequence[int] = RECALL_AT, among: np.ndarray | None = None) -> dict[int, float]:
        """Share of the queries that are right after n places: {n: share}; 0 of no queries.

        Parameters
        ----------
        among : (Q,) bool, the queries that count; None for all.
        """
        counted = ~self.is_trivial if among is None else ~self.is_trivial & among
        ranks = self.first_correct[counted]
        return {n: float((ranks < n).mean()) if len(ranks) else 0.0 for n in counts}


def within(rows: np.ndarray, places: np.ndarray, queries: np.ndarray, radius: float) -> np.ndarray:
    """Whether the places of some rows lie within a radius of their query.

    Parameters
    ----------
    rows : (Q, K) int, for each query K rows of the places.
    places, queries : (N, 2 or 3) and (Q, 2 or 3) float, metres, in one frame; NaN is near nothing.
    radius : metres, included.

    Returns
    -------
    (Q, K) bool.
    """
    return np.linalg.norm(places[rows] - queries[:, None], axis=-1) <= radius


def recall_by_position(
    ranked: np.ndarray, places: np.ndarray, queries: np.ndarray, radius: float = CORRECT_WITHIN
) -> Recall:
    """Recall if near places are the correct ones; takes no table of all pairs.

    Parameters
    ----------
    ranked : (Q, K) int, rows of the places, best first.
    places, queries, radius : as in `within`.
    """
    hits = within(ranked, places, queries, radius)
    known = places[np.isfinite(places).all(axis=1)]
    counts = cKDTree(known).query_ball_point(queries, radius, return_length=True)
    first_correct = np.where(hits.any(axis=1), hits.argmax(axis=1), np.inf)
    return Recall(first_correct, counts > 0, counts == len(places))
