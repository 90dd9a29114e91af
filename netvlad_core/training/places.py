"""Which image shows the place of which: what weak supervision knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.errors import SourceError
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.views import Views


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Queries, and for each the database images that may show its place and those that cannot.

    Attributes
    ----------
    views : all images, of database and queries.
    database : (N,) int64, rows of the views.
    queries : (Q,) int64, rows of the views; those with at least one potential positive.
    positives : for each query its potential positives, rows of the views, ascending.
    near : for each query the database images that are no negatives, rows of the views, ascending.
    without_positive : queries that were left out.
    """

    views: Views
    database: np.ndarray
    queries: np.ndarray
    positives: Sequence[np.ndarray]
    near: Sequence[np.ndarray]
    without_positive: int

    @classmethod
    def build(cls, database: Views, queries: Views | None, config: TrainingConfig) -> TrainingSet:
        """Find neighbours by label where all images have one, else by position.

        Parameters
        ----------
        queries : of other drives, or None: each image of the database is a query for the others.

        Raises
        ------
        SourceError
            If there is a single image, or no query with both a positive and a negative.
        """
        views = database if queries is None else database + queries
        rows = np.arange(len(views))
        database_rows = rows[: len(database)]
        query_rows = rows if queries is None else rows[len(database) :]
        if len(views) < 2:
            raise SourceError(f"a training set needs several images; found {len(views)}")
        if views.labels is not None:
            near = _rows_with_label(views.labels, database_rows, query_rows)
            positives = [found[found != row] for row, found in zip(query_rows, near)]
        else:
            near = _rows_within(views, database_rows, query_rows, config.negative_radius)
            candidates = _rows_within(views, database_rows, query_rows, config.positive_radius)
            positives = [_allowed(views, row, found, config) for row, found in zip(query_rows, candidates)]
        usable = [q for q, found in enumerate(positives) if len(found)]
        if not usable:
            raise SourceError(_no_positive(len(query_rows), views.labels is not None, config))
        if all(len(near[q]) == len(database_rows) for q in usable):
            raise SourceError(
                f"all {len(database_rows)} images of the database are of one place, within "
                f"{config.negative_radius:g} m of each query: there are no negatives to learn from"
            )
        return cls(
            views,
            database_rows,
            query_rows[usable],
            [positives[q] for q in usable],
            [near[q] for q in usable],
            len(query_rows) - len(usable),
        )


def _rows_within(views: Views, database: np.ndarray, queries: np.ndarray, radius: float) -> list[np.ndarray]:
    found = cKDTree(views.positions[database]).query_ball_point(
        views.positions[queries], radius, return_sorted=True
    )
    return [database[np.asarray(rows, dtype=np.int64)] for rows in found]


def _allowed(views: Views, query: int, rows: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """Those of the rows that are far enough, of a near heading, and not taken just before or after."""
    distances = np.linalg.norm(views.positions[rows] - views.positions[query], axis=1)
    turns = np.abs(np.angle(np.exp(1j * (views.headings[rows] - views.headings[query]))))
    apart = np.abs(views.stamps[rows] - views.stamps[query]) > config.time_exclusion * 1e9
    other_drive = views.drives[rows] != views.drives[query]
    is_far = (distances > config.min_distance) | (config.min_distance == 0)
    in_heading = ~(turns > np.radians(config.heading_limit) + 1e-9)  # NaN, unknown, stays
    return rows[is_far & in_heading & (apart | other_drive) & (rows != query)]


def _rows_with_label(labels: np.ndarray, database: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(labels[database], kind="stable")
    names, starts = np.unique(labels[database][order], return_index=True)
    rows_of = dict(zip(names, np.split(database[order], starts[1:])))
    return [rows_of.get(labels[row], np.empty(0, np.int64)) for row in queries]


def _no_positive(queries: int, by_label: bool, config: TrainingConfig) -> str:
    if by_label:
        return f"none of the {queries} queries has a database image with its label: nothing to learn from"
    return (
        f"none of the {queries} queries has a database image at {config.min_distance:g} to "
        f"{config.positive_radius:g} m, within {config.heading_limit:g} degrees and, on the same drive, more "
        f"than {config.time_exclusion:g} s apart: give a second drive of the same places in the same "
        "coordinates, or widen these limits"
    )
