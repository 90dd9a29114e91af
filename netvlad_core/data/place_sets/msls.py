"""Mapillary Street-Level Sequences: `train_val/<city>/{query,database}`, tables and `images/<key>.jpg`.

As in the collection's own tools, panoramas are left out and Copenhagen (cph) and San Francisco (sf) are the
validation split. Those tools count the queries of the subtask "all" (740 in the validation split), others
every query image (some 11 000 there): all are read, and the subtask is a named subset of the queries.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, heading_of_compass, moved_apart
from netvlad_core.data.tables import flags, numbers, read_columns
from netvlad_core.errors import SourceError

_VALIDATION = ("cph", "sf")
SUBTASK = "subtask all"
_TABLE = Path("database", "postprocessed.csv")


def is_it(path: Path) -> bool:
    """Whether there is a city with positions, or (to say so) only ones without."""
    return bool(_cities(path)) or bool(_unpublished(path))


def splits(path: Path) -> list[str]:
    """See `Format`."""
    return sorted({_split_of(city) for city in _cities(path)})


def read(path: Path, split: str | None) -> PlaceSet:
    """Read the cities of a split, or all of them, or the one that the path names; see `open_place_set`."""
    cities = [(n, city) for n, city in enumerate(_cities(path)) if split in (None, _split_of(city))]
    if not cities:
        found = ", ".join(city.name for city in _cities(path)) or "none with positions"
        raise SourceError(
            f"{path} has no city of the split {split!r}; cities: {found}. No positions of the test cities "
            "are published, so nothing can be evaluated on them here"
        )
    root = cities[0][1].parent
    left_out = 0
    sides: dict[str, list[PlaceImages]] = {"database": [], "query": []}
    in_subtask = []
    for number, city in cities:
        for side, parts in sides.items():
            images, subtask, panoramas = _read_side(root, city, side, number)
            left_out += panoramas
            parts.append(images)
            if side == "query":
                in_subtask.append(subtask)
    mask = np.concatenate(in_subtask)
    return PlaceSet(
        f"MSLS {', '.join(city.name for _, city in cities)}",
        f"Mapillary Street-Level Sequences, {len(cities)} cities; {left_out} panoramas left out",
        PlaceImages.joined(sides["database"]),
        PlaceImages.joined(sides["query"]),
        split,
        subsets={SUBTASK: mask} if not mask.all() else {},
    )


def _cities(path: Path) -> list[Path]:
    path = path.absolute()
    if (path / _TABLE).is_file():
        return [path]
    base = path / "train_val" if (path / "train_val").is_dir() else path
    if not base.is_dir():
        return []
    return sorted(city for city in base.iterdir() if (city / _TABLE).is_file())


def _unpublished(path: Path) -> bool:
    """Whether there are only test cities, which have a subtask index but no positions."""
    return any(any(path.glob(f"{cities}query/subtask_index.csv")) for cities in ("test/*/", "*/", ""))


def _split_of(city: Path) -> str:
    return "val" if city.name in _VALIDATION else "train"


def _read_side(root: Path, city: Path, side: str, number: int) -> tuple[PlaceImages, np.ndarray, int]:
    """Images of a city's database or queries, which of them are of the subtask, and how many panoramas."""
    folder = city / side
    table = folder / "postprocessed.csv"
    columns = read_columns(table, ("key", "easting", "northing"))
    keys = columns["key"]
    if not keys:
        raise SourceError(f"{table} lists no image")
    positions = np.column_stack([numbers(table, columns, name) for name in ("easting", "northing")])
    raw_table = folder / "raw.csv"
    raw = read_columns(raw_table, ("key", "ca", "pano"))
    _check_keys(raw_table, raw["key"], keys)
    compass = np.array([float(text) if _is_number(text) else np.nan for text in raw["ca"]])
    keep = ~flags(raw_table, raw, "pano")
    subtask = np.ones(len(keys), dtype=bool)
    if (subtask_table := folder / "subtask_index.csv").is_file():
        index = read_columns(subtask_table, ("key", "all"))
        _check_keys(subtask_table, index["key"], keys)
        subtask = flags(subtask_table, index, "all")
    groups = None
    if (sequence_table := folder / "seq_info.csv").is_file():
        sequences = read_columns(sequence_table, ("key", "sequence_key"))
        _check_keys(sequence_table, sequences["key"], keys)
        groups = np.array(sequences["sequence_key"])
    prefix = f"{city.name}/{side}/images"
    images = PlaceImages(
        root,
        [f"{prefix}/{key}.jpg" for key in keys],
        moved_apart(positions, number),
        heading_of_compass(compass),
        groups=groups,
    )
    return images.take(keep), subtask[keep], int((~keep).sum())


def _check_keys(table: Path, found: list[str], expected: list[str]) -> None:
    if found != expected:
        raise SourceError(
            f"{table} lists {len(found)} keys, postprocessed.csv beside it {len(expected)}, and they must be "
            "the same in the same order; is one of them of another download?"
        )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
