"""One table of images with place labels: `dataset.csv` with the columns image or image_path, label and split.

The split says database (or gallery, reference) or query (or queries). There are no positions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.data.tables import Table

_TABLE = "dataset.csv"
_IS_QUERY = {"database": False, "gallery": False, "reference": False, "query": True, "queries": True}


def splits(path: Path) -> list[str] | None:
    """See `Format`."""
    return [] if _table(path).is_file() else None


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    file = _table(path).absolute()
    table = Table.read(file, ("label", "split"), "label, split, and image or image_path")
    names = table["image" if "image" in table else "image_path"]
    is_query = np.array(table.choices("split", _IS_QUERY, " or ".join(_IS_QUERY)))
    table.require_files(file.parent, names)
    images = PlaceImages(file.parent, names, labels=np.array(table["label"]))
    description = f"table {file.name} with {len(set(table['label']))} place labels"
    return PlaceSet(file.parent.name, description, images.take(~is_query), images.take(is_query))


def _table(path: Path) -> Path:
    return path if path.suffix == ".csv" else path / _TABLE
