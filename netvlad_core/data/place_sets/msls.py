"""Mapillary Street-Level Sequences: `train_val/<city>/{query,database}`, tables and `images/<key>.jpg`.

As in the collection's own tools, panoramas are left out and Copenhagen (cph) and San Francisco (sf) are the
validation split. Those tools count the queries of the subtask "all" (740 in the validation split), others
every query image (some 11 000 there): all are read, and the subtask is a named subset of the queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, heading_of_compass, moved_apart
from netvlad_core.data.tables import FLAGS, Table
from netvlad_core.errors import SourceError

_VALIDATION = ("cph", "sf")
SUBTASK = "subtask all"
_TABLE = Path("database", "postprocessed.csv")


def splits(path: Path) -> list[str] | None:
    """See `Format`; a collection of nothing but test cities is one, so that it can be refused by name."""
    found = sorted({_split_of(city) for city in _cities(path)})
    return found if found or _is_unpublished(path) else None


def read(path: Path, split: str | None) -> PlaceSet:
    """Read the cities of a split, or all of them, or the one that the path names; see `Format`."""
    cities = [(n, city) for n, city in enumerate(_cities(path)) if split in (None, _split_of(city))]
    if not cities:
        found = ", ".join(city.name for city in _cities(path)) or "none with positions"
        raise SourceError(
            f"{path} has no city of the split {split!r}; cities: {found}. No positions of the test cities "
            "are published, so nothing can be evaluated on them here"
        )
    database, queries = ([_read_side(city, side, n) for n, city in cities] for side in ("database", "query"))
    mask = np.concatenate([subtask for _, subtask, _ in queries])
    left_out = sum(panoramas for _, _, panoramas in database + queries)
    return PlaceSet(
        f"MSLS {', '.join(city.name for _, city in cities)}",
        f"Mapillary Street-Level Sequences, {len(cities)} cities; {left_out} panoramas left out",
        PlaceImages.joined([images for images, _, _ in database]),
        PlaceImages.joined([images for images, _, _ in queries]),
        split,
        subsets={SUBTASK: mask} if not mask.all() else {},
    )


def is_of_subtask(images: PlaceImages) -> np.ndarray:
    """(N,) bool, which images of one side, of whole cities, are of the subtask "all"; see `read`."""
    folders = sorted({Path(name).parents[1] for name in images.names})
    keys = {key for folder in folders for key in _subtask_keys(images.folder / folder)}
    return np.array([Path(name).stem in keys for name in images.names], dtype=bool)


def _subtask_keys(side: Path) -> list[str]:
    if not (side / "subtask_index.csv").is_file():
        raise SourceError(f"{side} has no subtask_index.csv, which says what MSLS's own tools count")
    table = Table.read(side / "subtask_index.csv", ("key", "all"))
    return [key for key, is_of_it in zip(table["key"], table.choices("all", FLAGS)) if is_of_it]


def _cities(path: Path) -> list[Path]:
    path = path.absolute()
    if (path / _TABLE).is_file():
        return [path]
    base = path / "train_val" if (path / "train_val").is_dir() else path
    if not base.is_dir():
        return []
    return sorted(city for city in base.iterdir() if (city / _TABLE).is_file())


def _is_unpublished(path: Path) -> bool:
    """Whether there are only test cities, which have a subtask index but no positions."""
    return any(any(path.glob(f"{cities}query/subtask_index.csv")) for cities in ("test/*/", "*/", ""))


def _split_of(city: Path) -> str:
    return "val" if city.name in _VALIDATION else "train"


def _read_side(city: Path, side: str, number: int) -> tuple[PlaceImages, np.ndarray, int]:
    """Images of a city's database or queries, which of them are of the subtask, and how many panoramas."""
    table = Table.read(city / side / "postprocessed.csv", ("key", "easting", "northing"))
    raw = _beside(table, "raw.csv", ("key", "ca", "pano"))
    keep = ~np.array(raw.choices("pano", FLAGS))
    subtask, sequences = np.ones(len(table), dtype=bool), None
    if (city / side / "subtask_index.csv").is_file():
        subtask = np.array(_beside(table, "subtask_index.csv", ("key", "all")).choices("all", FLAGS))
    if (city / side / "seq_info.csv").is_file():
        sequences = np.array(_beside(table, "seq_info.csv", ("key", "sequence_key"))["sequence_key"])
    images = PlaceImages(
        city.parent,
        [f"{city.name}/{side}/images/{key}.jpg" for key in table["key"]],
        moved_apart(table.numbers("easting", "northing"), number),
        heading_of_compass(np.array([_number_or_nan(text) for text in raw["ca"]])),
        groups=sequences,
    )
    return images.take(keep), subtask[keep], int((~keep).sum())


def _beside(table: Table, name: str, columns: Sequence[str]) -> Table:
    """Read the table of this name in the same folder; raises SourceError unless it has the same keys."""
    other = Table.read(table.path.with_name(name), columns)
    if other["key"] != table["key"]:
        raise SourceError(
            f"{other.path} lists {len(other)} keys, {table.path.name} beside it {len(table)}, and they must "
            "be the same in the same order; is one of them of another download?"
        )
    return other


def _number_or_nan(text: str) -> float:
    try:
        return float(text) if np.isfinite(float(text)) else np.nan
    except ValueError:
        return np.nan
