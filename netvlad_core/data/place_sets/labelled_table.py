"""One table of images with place labels: `dataset.csv` with the columns image or image_path, label and split.

The split says database (or gallery, reference) or query (or queries). There are no positions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.data.tables import read_columns
from netvlad_core.errors import SourceError

_TABLE = "dataset.csv"
_DATABASE, _QUERIES = ("database", "gallery", "reference"), ("query", "queries")


def is_it(path: Path) -> bool:
    """Whether there is such a table."""
    return _table(path).is_file()


def splits(path: Path) -> list[str]:
    """See `Format`."""
    return []


def read(path: Path, split: str | None) -> PlaceSet:
    """Read database and queries; see `open_place_set`."""
    table = _table(path).absolute()
    if split is not None:
        raise SourceError(f"{table} is not divided into training and test sets: there is no split {split!r}")
    columns = read_columns(table, ("label", "split"), ("image", "image_path"))
    names = columns.get("image", columns.get("image_path"))
    if names is None:
        raise SourceError(f"{table} lacks the column image (or image_path)")
    for row, value in enumerate(columns["split"], start=2):
        if value not in (*_DATABASE, *_QUERIES):
            raise SourceError(
                f"{table}, row {row}: split is {value!r}, expected {' or '.join((*_DATABASE, *_QUERIES))}"
            )
    if not any((table.parent / name).is_file() for name in names):
        raise SourceError(f"none of the {len(names)} images of {table} exists, e.g. {', '.join(names[:1])}")
    images = PlaceImages(table.parent, names, labels=np.array(columns["label"]))
    is_query = np.isin(columns["split"], _QUERIES)
    return PlaceSet(
        table.parent.name,
        f"table {table.name} with {len(set(columns['label']))} place labels",
        images.take(~is_query),
        images.take(is_query),
    )


def _table(path: Path) -> Path:
    return path if path.suffix == ".csv" else path / _TABLE
