"""A network on a collection of places: descriptors of all images, rankings, recall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.precision_recall import average_precision
from netvlad_core.evaluation.recall import RECALL_AT, Recall
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames
from netvlad_core.progress import bar
from netvlad_core.search import DescriptorIndex, open_index, ranks_of_first_correct


@dataclass(frozen=True, eq=False)
class SetResult:
    """Rankings of the queries of a set; only images that could be read take part.

    Attributes
    ----------
    places : the set without the images that could not be read.
    left_out : path and reason of the others.
    ranked, similarities : for each query, rows of the database, best first, and their similarities.
    positives : for each query, the rows that are correct.
    """

    places: PlaceSet
    left_out: dict[str, str]
    ranked: list[np.ndarray]
    similarities: list[np.ndarray]
    positives: list[np.ndarray]

    @cached_property
    def recall(self) -> Recall:
        """Recall of all queries; one for which every place is correct counts here, as in the literature."""
        has_positive = np.array([len(rows) > 0 for rows in self.positives], dtype=bool)
        first_correct = ranks_of_first_correct(self.ranked, self.positives)
        return Recall(first_correct, has_positive, np.zeros_like(has_positive))

    def distance(self, query: int, row: int) -> float | None:
        """Metres between a query and an image of the database; None without positions."""
        queries, database = self.places.queries.positions, self.places.database.positions
        if queries is None or database is None:
            return None
        return float(np.linalg.norm(queries[query] - database[row]))

    def mean_average_precision(self) -> float:
        """Mean over the queries with a correct place, NaN without any; the rankings must be complete."""
        lists = zip(self.ranked, self.positives, strict=True)
        found = [average_precision(ranked, rows) for ranked, rows in lists if len(rows)]
        return float(np.mean(found)) if found else float("nan")


def evaluate_place_set(
    places: PlaceSet,
    extractor: Extractor,
    within: float | None = None,
    heading: float | None = None,
    progress: bool = False,
) -> SetResult:
    """Describe a set, rank its database for each query, and say what is correct.

    Junk never enters a ranking. If a group counts once, as the cut-outs of a panorama of Tokyo 24/7, only its
    best image has a rank. Sets with junk lists are ranked completely, for average precision; others as far as
    recall is counted.

    Parameters
    ----------
    within, heading : metres and radians, see `PlaceSet.positives`.
    progress : show bars.

    Raises
    ------
    SourceError
        If there are no queries, no image can be read, or nothing says what is correct.
    """
    if not len(places.queries):
        raise SourceError(f"{places.name} has no queries, only places with labels; it cannot be evaluated on")
    places.positives(within, heading)  # fail before the work, not after it
    left_out: dict[str, str] = {}
    index = open_index(np.empty((0, extractor.dimension), np.float32))
    database = []
    for rows, descriptors in _described(places.database, extractor, progress, "database", left_out):
        index.add(descriptors)
        database += rows
    described = list(_described(places.queries, extractor, progress, "queries", left_out))
    queries = [row for rows, _ in described for row in rows]
    if not database or not queries:
        raise SourceError(f"no image of {places.name} can be read, e.g. {next(iter(left_out.values()))}")
    places = places.with_images(np.array(database), np.array(queries))
    found = list(_ranked(places, index, np.concatenate([descriptors for _, descriptors in described])))
    ranked, similarities = (list(lists) for lists in zip(*found, strict=True))
    return SetResult(places, left_out, ranked, similarities, places.positives(within, heading))


def _described(
    images: PlaceImages, extractor: Extractor, progress: bool, what: str, left_out: dict[str, str]
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Rows and descriptors (B, D), a batch at a time; images that cannot be read are noted."""
    for batch in describe_frames(bar(images.frames(), what, show=progress), extractor):
        good = [described for described in batch if described.descriptor is not None]
        left_out.update({d.frame.name: str(d.detail) for d in batch if d.descriptor is None})
        if good:
            yield [d.frame.stamp for d in good], np.array([d.descriptor for d in good])


def _ranked(
    places: PlaceSet, index: DescriptorIndex, queries: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of the database and their similarities for each query, best first."""
    groups = places.database.groups if places.group_counts_once else None
    wanted = max(RECALL_AT)
    if places.ignored is not None:
        wanted = len(places.database)
    elif groups is not None:
        wanted *= int(np.unique(groups, return_counts=True)[1].max())
    for query, (similarities, rows) in enumerate(zip(*index.search(queries, wanted), strict=True)):
        keep = np.ones(len(rows), dtype=bool)
        if places.ignored is not None:
            keep = ~np.isin(rows, places.ignored[query])
        if groups is not None:
            keep &= _first_of_each(groups[rows])
        yield rows[keep], similarities[keep]


def _first_of_each(groups: np.ndarray) -> np.ndarray:
    """(N,) bool, True at the first appearance of each group."""
    first = np.zeros(len(groups), dtype=bool)
    first[np.unique(groups, return_index=True)[1]] = True
    return first
