"""Which image shows the place of which: what weak supervision knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.neighbours import looks_along, rows_with_label, rows_within
from netvlad_core.errors import SourceError
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.views import Views


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Queries, and for each the database images that may show its place and those that cannot.

    Attributes
    ----------
    views : all images, of database and queries.
    database, queries : (N,) and (Q,) int64, rows of the views; queries have a potential positive at least.
    positives : rows of the potential positives of each query, ascending.
    near : rows of the database images that are no negatives of each query, ascending.
    without_positive : number of queries that were left out.
    """

    views: Views
    database: np.ndarray
    queries: np.ndarray
    positives: Sequence[np.ndarray]
    near: Sequence[np.ndarray]
    without_positive: int

    @classmethod
    def build(cls, database: Views, queries: Views | None, config: TrainingConfig) -> TrainingSet:
        """Find neighbours by label if all images have one, else by position.

        Without queries each image of the database is a query for the others.

        Raises
        ------
        SourceError
            If there is a single image, or no query with both a positive and a negative.
        """
        views, database_rows, query_rows = joined(database, queries)
        if len(views) < 2:
            raise SourceError(f"a training set needs several images; found {len(views)}")
        near = of_one_place(views, database_rows, query_rows, config.negative_radius)
        if views.labels is not None:
            positives = [found[found != row] for row, found in zip(query_rows, near)]
        else:
            candidates = of_one_place(views, database_rows, query_rows, config.positive_radius)
            positives = [_allowed(views, row, found, config) for row, found in zip(query_rows, candidates)]
        usable = [q for q, found in enumerate(positives) if len(found)]
        if not usable:
            raise SourceError(_no_positive(len(query_rows), views.labels is not None, config))
        if all(len(near[q]) == len(database_rows) for q in usable):
            raise SourceError(
                f"all {len(database_rows)} images of the database are of one place, within "
                f"{config.negative_radius:g} m of each query: there are no negatives to learn from"
            )
        chosen = [positives[q] for q in usable], [near[q] for q in usable]
        return cls(views, database_rows, query_rows[usable], *chosen, len(query_rows) - len(usable))


def joined(database: Views, queries: Views | None) -> tuple[Views, np.ndarray, np.ndarray]:
    """All images, and the rows of database and queries; without queries each image asks for the others."""
    if queries is None:
        rows = np.arange(len(database))
        return database, rows, rows
    rows = np.arange(len(database) + len(queries))
    return database + queries, rows[: len(database)], rows[len(database) :]


def of_one_place(views: Views, database: np.ndarray, queries: np.ndarray, radius: float) -> list[np.ndarray]:
    """For each query the database images with its label, or without labels those within metres of it."""
    if views.labels is not None:
        found = rows_with_label(views.labels[database], views.labels[queries])
    else:
        found = rows_within(views.positions[database], views.positions[queries], radius)
    return [database[rows] for rows in found]


def is_same_moment(views: Views, query: int, rows: np.ndarray, seconds: float) -> np.ndarray:
    """Whether images were taken on the drive of the query and within seconds of it; itself was."""
    is_near = np.abs(views.stamps[rows] - views.stamps[query]) <= seconds * 1e9
    return is_near & (views.drives[rows] == views.drives[query])


def _allowed(views: Views, query: int, rows: np.ndarray, config: TrainingConfig) -> np.ndarray:
    """Those of the rows that are far enough, of a near heading, and not taken just before or after."""
    distances = np.linalg.norm(views.positions[rows] - views.positions[query], axis=1)
    is_far = (distances > config.min_distance) | (config.min_distance == 0)
    in_heading = looks_along(views.headings[rows], views.headings[query], np.radians(config.heading_limit))
    same_moment = is_same_moment(views, query, rows, config.time_exclusion)
    return rows[is_far & in_heading & ~same_moment]


def _no_positive(queries: int, by_label: bool, config: TrainingConfig) -> str:
    if by_label:
        return f"none of the {queries} queries has a database image with its label: nothing to learn from"
    return (
        f"none of the {queries} queries has a database image at {config.min_distance:g} to "
        f"{config.positive_radius:g} m, within {config.heading_limit:g} degrees and, on the same drive, more "
        f"than {config.time_exclusion:g} s apart: give a second drive of the same places in the same "
        "coordinates, or widen these limits"
    )
