"""Which images show one place: by distance, by label, by heading."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def rows_within(places: np.ndarray, queries: np.ndarray, radius: float) -> list[np.ndarray]:
    """Rows (n,) int64, ascending, of the places (N, d) within a radius of each query (Q, d); metres."""
    if not len(places) or not len(queries):
        return [np.empty(0, np.int64)] * len(queries)
    found = cKDTree(places).query_ball_point(queries, radius, return_sorted=True)
    return [np.asarray(rows, dtype=np.int64) for rows in found]


def rows_with_label(places: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """Rows of the places that have the label of each query, ascending; labels are (N,) and (Q,) str."""
    order = np.argsort(places, kind="stable")
    names, starts = np.unique(places[order], return_index=True)
    rows_of = dict(zip(names, np.split(order, starts[1:])))
    return [rows_of.get(label, np.empty(0, np.int64)) for label in queries]


def looks_along(headings: np.ndarray, heading: float, limit: float) -> np.ndarray:
    """Whether headings (N,) lie within a limit of another one, all in radians; unknown (NaN) ones do."""
    turns = np.abs(np.angle(np.exp(1j * (headings - heading))))
    return ~(turns > limit + 1e-9)
