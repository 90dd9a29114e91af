"""Contents and faults of a collection of places, checked before a day of training."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from netvlad_core.data.images import picture_size
from netvlad_core.data.neighbours import rows_within
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import ImageError
from netvlad_core.files import read_file
from netvlad_core.progress import bar

# Metres within which two images of different splits show the same place without doubt.
_SAME_POSITION = 1.0


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest of some counts."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, counts: np.ndarray) -> Spread | None:
        return cls(int(counts.min()), float(np.median(counts)), int(counts.max())) if len(counts) else None


@dataclass(frozen=True)
class SplitCheck:
    """Contents and faults of one split.

    Attributes
    ----------
    name, description, split : those of the set.
    images : numbers of images in the database and of queries.
    missing, broken : paths of files that are not there, and of damaged ones with the reason.
    sizes : "width x height" in pixels, with the number of images.
    extent : metres that all positions span in x and y, or None without positions.
    headings : number of images whose heading is known.
    positives : database images that show the place of a query; None if nothing tells.
    negatives : database images farther than the negative radius from a query; None without positions.
    unreachable : paths of queries without a positive.
    subsets : sizes of the further query sets.
    labels : images per label; None without labels.
    lonely_labels : number of labels with a single image, from which nothing can be learnt.
    database_among_queries : paths of a query and of a database image with the same file content.
    """

    name: str
    description: str
    split: str | None
    images: dict[str, int]
    missing: list[str]
    broken: dict[str, str]
    sizes: dict[str, int]
    extent: tuple[float, ...] | None
    headings: int
    positives: Spread | None
    negatives: Spread | None
    unreachable: list[str]
    subsets: dict[str, int]
    labels: Spread | None
    lonely_labels: int
    database_among_queries: list[tuple[str, str]]


@dataclass(frozen=True)
class Overlap:
    """What two splits share, in pairs of paths: equal file contents, and images within a metre."""

    splits: tuple[str, str]
    same_content: list[tuple[str, str]]
    same_position: list[tuple[str, str]]


class _Files:
    """Files of one split, read once; `paths_of` maps the hashes of their contents to paths, for each side."""

    def __init__(self, places: PlaceSet, progress: bool) -> None:
        self.missing: list[str] = []
        self.broken: dict[str, str] = {}
        self.sizes: Counter[str] = Counter()
        self.paths_of: dict[str, dict[bytes, str]] = {"database": {}, "queries": {}}
        sides = {"database": places.database, "queries": places.queries}
        every = {images.path(row): side for side, images in sides.items() for row in range(len(images))}
        for path in bar(list(every), show=progress):
            try:
                data = read_file(path)
                width, height = picture_size(data)
            except OSError:
                self.missing.append(str(path))
            except ImageError as error:
                self.broken[str(path)] = str(error)
            else:
                self.sizes[f"{width} x {height}"] += 1
                self.paths_of[every[path]][hashlib.blake2b(data, digest_size=16).digest()] = str(path)

    @property
    def contents(self) -> dict[bytes, str]:
        return {**self.paths_of["database"], **self.paths_of["queries"]}


def check_place_sets(
    sets: Iterable[PlaceSet],
    positive: float,
    negative: float,
    heading: float | None = None,
    progress: bool = False,
) -> tuple[list[SplitCheck], list[Overlap]]:
    """Read the header and the end of every image of some splits and count what there is.

    Parameters
    ----------
    positive, negative : metres.
    heading : radians by which the headings of query and positive may differ at most, or None.
    progress : show a bar.

    Raises
    ------
    SourceError
        If a heading is asked for and there are none.
    """
    read = [(places, _Files(places, progress)) for places in sets]
    checks = [_check(places, files, positive, negative, heading) for places, files in read]
    overlaps = [
        Overlap((str(a.split), str(b.split)), _shared(of_a.contents, of_b.contents), _same_position(a, b))
        for (a, of_a), (b, of_b) in combinations(read, 2)
    ]
    return checks, overlaps


def _check(
    places: PlaceSet, files: _Files, positive: float, negative: float, heading: float | None
) -> SplitCheck:
    database, queries = places.database, places.queries
    is_known = (
        places.correct is not None
        or {"positions", "labels"} & database.columns.keys() & queries.columns.keys()
    )
    positives = places.positives(positive, heading) if is_known and len(queries) else None
    negatives = None
    if database.positions is not None and queries.positions is not None and len(queries):
        near = rows_within(database.positions, queries.positions, negative)
        negatives = Spread.of(len(database) - np.array([len(rows) for rows in near]))
    _, per_label = np.unique(_column("labels", database, queries), return_counts=True)
    positions = _column("positions", database, queries)
    return SplitCheck(
        name=places.name,
        description=places.description,
        split=places.split,
        images={"database": len(database), "queries": len(queries)},
        missing=files.missing,
        broken=files.broken,
        sizes=dict(files.sizes.most_common()),
        extent=tuple(np.ptp(positions, axis=0).tolist()) if len(positions) else None,
        headings=int(np.isfinite(_column("headings", database, queries)).sum()),
        positives=None if positives is None else Spread.of(np.array([len(rows) for rows in positives])),
        negatives=negatives,
        unreachable=[str(queries.path(row)) for row, rows in enumerate(positives or ()) if not len(rows)],
        subsets={name: int(mask.sum()) for name, mask in places.subsets.items()},
        labels=Spread.of(per_label),
        lonely_labels=int((per_label == 1).sum()),
        database_among_queries=_shared(files.paths_of["queries"], files.paths_of["database"]),
    )


def _column(name: str, *sides: PlaceImages) -> np.ndarray:
    columns = [column for side in sides if (column := getattr(side, name)) is not None and len(side)]
    return np.concatenate(columns) if columns else np.empty(0)


def _shared(a: dict[bytes, str], b: dict[bytes, str]) -> list[tuple[str, str]]:
    return sorted((a[digest], b[digest]) for digest in a.keys() & b.keys())


def _same_position(a: PlaceSet, b: PlaceSet) -> list[tuple[str, str]]:
    """Pairs of an image of a and one of b at the same position."""
    pairs = []
    for mine, other in product((a.database, a.queries), (b.database, b.queries)):
        if mine.positions is not None and other.positions is not None:
            near = rows_within(mine.positions, other.positions, _SAME_POSITION)
            found = [(int(rows[0]), row) for row, rows in enumerate(near) if len(rows)]
            pairs += [(str(mine.path(first)), str(other.path(second))) for first, second in found]
    return pairs
