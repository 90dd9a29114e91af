"""Images of places with what is known about them: one form for every collection to train or evaluate on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.images import read_image
from netvlad_core.data.neighbours import looks_along, rows_with_label, rows_within
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError

# Metres between collections whose coordinates do not compare (cities, UTM zones): farther than any threshold.
_APART = 1e6


@dataclass(frozen=True, eq=False)
class PlaceImages:
    """Image files and, in columns with an entry for each, what is known about them; None if it is not known.

    Attributes
    ----------
    folder : absolute path.
    names : paths relative to the folder.
    positions : (N, 2) float64, x y in metres.
    headings : (N,) float64, radians from +x counter-clockwise, NaN if unknown.
    labels : (N,) str; images of one label show one place.
    groups : (N,) str, such as a panorama or a sequence.
    regions : (N, 4) int, pixels, the part x0 y0 x1 y1 of each image that counts.
    """

    folder: Path
    names: Sequence[str]
    positions: np.ndarray | None = None
    headings: np.ndarray | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    regions: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if len(column) != len(self.names):
                raise SourceError(f"{len(self.names)} images in {self.folder}, but {len(column)} {name}")
        if self.positions is not None and not (is_finite := np.isfinite(self.positions).all(axis=1)).all():
            row = int(np.argmin(is_finite))
            raise SourceError(
                f"the position of {self.path(row)} is {self.positions[row]}; expected finite numbers"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All columns that are known, by name."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)[2:]}
        return {name: column for name, column in columns.items() if column is not None}

    def path(self, row: int) -> Path:
        return self.folder / self.names[row]

    def frames(self) -> list[Frame]:
        """The images, to be decoded later; names are absolute paths and stamps the rows."""
        return [Frame(str(self.path(row)), row, None, partial(self.read, row)) for row in range(len(self))]

    def read(self, row: int) -> np.ndarray:
        """The part of an image that counts, uint8 RGB (H, W, 3); raises ImageError if it cannot be read."""
        image = read_image(self.path(row))
        if self.regions is None:
            return image
        x0, y0, x1, y1 = np.maximum(self.regions[row], 0)
        return np.ascontiguousarray(image[y0:y1, x0:x1])

    def take(self, rows: np.ndarray) -> PlaceImages:
        """The images of some rows (indices or a mask)."""
        rows = np.arange(len(self))[rows]
        columns = {name: column[rows] for name, column in self.columns.items()}
        return replace(self, names=[self.names[row] for row in rows], **columns)

    @classmethod
    def joined(cls, parts: Sequence[PlaceImages]) -> PlaceImages:
        """The images of several collections below one folder, with the columns that all of them have."""
        names = [name for part in parts for name in part.names]
        shared = set.intersection(*(set(part.columns) for part in parts))
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in shared}
        return cls(parts[0].folder, names, **columns)


@dataclass(frozen=True, eq=False)
class PlaceSet:
    """A database of places and queries to be found in it.

    Attributes
    ----------
    name, description : texts for display; the description names the format and what was left out.
    database, queries : images; a collection that only has places with labels is all database.
    split : train, val, test, or None if there is only one.
    threshold : metres within which a database image is a correct answer.
    correct : rows of the database that are correct for each query, if a list says so; else None.
    ignored : rows that count as neither right nor wrong for each query (junk lists); else None.
    subsets : further query sets by name, (Q,) bool, that the literature counts separately.
    group_counts_once : whether only the best image of each database group has a rank (as in Tokyo 24/7).
    """

    name: str
    description: str
    database: PlaceImages
    queries: PlaceImages
    split: str | None = None
    threshold: float = CORRECT_WITHIN
    correct: Sequence[np.ndarray] | None = None
    ignored: Sequence[np.ndarray] | None = None
    subsets: Mapping[str, np.ndarray] = field(default_factory=dict)
    group_counts_once: bool = False

    def positives(self, within: float | None = None, heading: float | None = None) -> list[np.ndarray]:
        """Rows of the database that show the place of each query, ascending.

        Parameters
        ----------
        within : metres; None takes the threshold. Lists and labels have no distance and stay as they are.
        heading : radians by which the headings may differ at most; an unknown heading agrees with any.

        Raises
        ------
        SourceError
            If nothing says which images show one place, or there is no heading to compare.
        """
        database, queries = self.database, self.queries
        if self.correct is not None:
            found = list(self.correct)
        elif database.positions is not None and queries.positions is not None:
            within = self.threshold if within is None else within
            found = rows_within(database.positions, queries.positions, within)
        elif database.labels is not None and queries.labels is not None:
            found = rows_with_label(database.labels, queries.labels)
        else:
            raise SourceError(
                f"{self.name} has neither positions nor labels nor a ground-truth file: nothing says which "
                "database image shows the place of a query"
            )
        if heading is None:
            return found
        if database.headings is None or queries.headings is None:
            raise SourceError(f"{self.name} has no headings, so positives cannot be limited by heading")
        headings = database.headings
        return [rows[looks_along(headings[rows], own, heading)] for rows, own in zip(found, queries.headings)]

    def with_images(self, database: np.ndarray, queries: np.ndarray) -> PlaceSet:
        """The same set with some of its images (rows or masks); the lists follow."""
        kept = np.arange(len(self.queries))[queries]
        new_row = np.full(len(self.database), -1)
        new_row[database] = np.arange(len(new_row[database]))

        def renumbered(lists: Sequence[np.ndarray] | None) -> list[np.ndarray] | None:
            rows = None if lists is None else [new_row[lists[query]] for query in kept]
            return rows and [row[row >= 0] for row in rows]

        return replace(
            self,
            database=self.database.take(database),
            queries=self.queries.take(queries),
            correct=renumbered(self.correct),
            ignored=renumbered(self.ignored),
            subsets={name: mask[queries] for name, mask in self.subsets.items()},
        )


def moved_apart(positions: np.ndarray, collection: int | np.ndarray) -> np.ndarray:
    """Positions (N, 2) of one of several collections (or that of each image), far from the others."""
    return positions + np.outer(np.broadcast_to(collection, len(positions)), [_APART, 0.0])


def heading_of_compass(degrees: np.ndarray) -> np.ndarray:
    """Headings in radians, from +x (east) counter-clockwise in [-pi, pi], of degrees clockwise from north."""
    return -np.angle(np.exp(1j * np.radians(np.asarray(degrees, dtype=np.float64) - 90.0)))
