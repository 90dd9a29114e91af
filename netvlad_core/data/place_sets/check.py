"""What a collection of places holds and what is wrong with it, to be known before a day of training."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from netvlad_core.data.images import picture_size
from netvlad_core.data.neighbours import rows_within
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import ImageError
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
    """What one split holds.

    Attributes
    ----------
    name, description, split : those of the set.
    images : number in the database and of queries.
    missing, broken : path, and path with the reason, of files that cannot be used.
    sizes : "width x height" in pixels and how many images have it.
    extent : metres in x and in y that all positions span, or None without positions.
    headings : images whose heading is known.
    positives : database images that show the place of a query, within `positive`; None if nothing tells.
    negatives : database images farther than `negative` from a query; None without positions.
    unreachable : queries without positive.
    subsets : further query sets and their sizes.
    labels : images per label; None without labels.
    lonely_labels : labels with one image, which nothing can be learnt from.
    database_among_queries : pairs of paths of a query and a database image that are the same file content.
    """

    name: str
    description: str
    split: str | None
    images: dict[str, int]
    missing: list[str]
    broken: dict[str, str]
    sizes: dict[str, int]
    extent: tuple[float, float] | None
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


@dataclass
class _Files:
    """Files of one split, read once."""

    missing: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    paths_of: dict[str, dict[bytes, str]] = field(default_factory=lambda: defaultdict(dict))


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
    sets = list(sets)
    files = [_read_files(places, progress) for places in sets]
    checks = [_check(places, read, positive, negative, heading) for places, read in zip(sets, files)]
    overlaps = [
        Overlap((str(a.split), str(b.split)), _same_content(read_a, read_b), _same_position(a, b))
        for (a, read_a), (b, read_b) in combinations(zip(sets, files), 2)
    ]
    return checks, overlaps


def _read_files(places: PlaceSet, progress: bool) -> _Files:
    read = _Files()
    sides = {"database": places.database, "queries": places.queries}
    every = {images.path(row): side for side, images in sides.items() for row in range(len(images))}
    for path in bar(list(every), show=progress):
        try:
            data = Path(path).read_bytes()
            width, height = picture_size(data)
        except OSError:
            read.missing.append(str(path))
        except ImageError as error:
            read.broken[str(path)] = str(error)
        else:
            read.sizes[f"{width} x {height}"] += 1
            read.paths_of[every[path]][hashlib.blake2b(data, digest_size=16).digest()] = str(path)
    return read


def _check(
    places: PlaceSet, read: _Files, positive: float, negative: float, heading: float | None
) -> SplitCheck:
    database, queries = places.database, places.queries
    is_known = places.correct is not None or bool(
        database.columns & queries.columns & {"positions", "labels"}
    )
    positives = places.positives(positive, heading) if is_known and len(queries) else None
    counts = None if positives is None else np.array([len(rows) for rows in positives])
    negatives = None
    if database.positions is not None and queries.positions is not None and len(queries):
        near = rows_within(database.positions, queries.positions, negative)
        negatives = Spread.of(len(database) - np.array([len(rows) for rows in near]))
    _, per_label = np.unique(_column("labels", database, queries), return_counts=True)
    return SplitCheck(
        name=places.name,
        description=places.description,
        split=places.split,
        images={"database": len(database), "queries": len(queries)},
        missing=read.missing,
        broken=read.broken,
        sizes=dict(read.sizes.most_common()),
        extent=_extent(_column("positions", database, queries)),
        headings=int(np.isfinite(_column("headings", database, queries)).sum()),
        positives=None if counts is None else Spread.of(counts),
        negatives=negatives,
        unreachable=[str(queries.path(row)) for row, rows in enumerate(positives or ()) if not len(rows)],
        subsets={name: int(mask.sum()) for name, mask in places.subsets.items()},
        labels=Spread.of(per_label),
        lonely_labels=int((per_label == 1).sum()),
        database_among_queries=_shared(read.paths_of["queries"], read.paths_of["database"]),
    )


def _column(name: str, *sides: PlaceImages) -> np.ndarray:
    columns = [column for side in sides if (column := getattr(side, name)) is not None and len(side)]
    return np.concatenate(columns) if columns else np.empty(0)


def _extent(positions: np.ndarray) -> tuple[float, float] | None:
    if not len(positions):
        return None
    x, y = np.ptp(positions, axis=0)
    return float(x), float(y)


def _same_content(a: _Files, b: _Files) -> list[tuple[str, str]]:
    contents = [
        {digest: path for side in f.paths_of.values() for digest, path in side.items()} for f in (a, b)
    ]
    return _shared(*contents)


def _shared(a: dict[bytes, str], b: dict[bytes, str]) -> list[tuple[str, str]]:
    return sorted((a[digest], b[digest]) for digest in a.keys() & b.keys())


def _same_position(a: PlaceSet, b: PlaceSet) -> list[tuple[str, str]]:
    """Pairs of an image of a and one of b at the same position."""
    pairs = []
    for mine in (a.database, a.queries):
        for other in (b.database, b.queries):
            if mine.positions is None or other.positions is None:
                continue
            near = rows_within(mine.positions, other.positions, _SAME_POSITION)
            found = [(int(rows[0]), row) for row, rows in enumerate(near) if len(rows)]
            pairs += [(str(mine.path(first)), str(other.path(second))) for first, second in found]
    return pairs
