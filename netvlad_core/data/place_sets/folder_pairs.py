"""A database and queries side by side, below a folder for each split or without one.

`images/{train,val,test}/{database,queries}`, or `database` and `queries` alone; each is a folder of images or
a catalogue `database.csv` (see `catalogue_csv`; a column `label` names places). Positions come from the
catalogue or from "@" names. A file `ground_truth.csv` with the columns query, database, or
`ground_truth.json` with {query: [database, ...]}, names or row numbers, says what is correct; it wins over
positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.data.at_names import (
    have_positions,
    heading_of_name,
    panorama_of_name,
    pose_of_name,
    zone_of_name,
)
from netvlad_core.data.catalogue import image_names
from netvlad_core.data.catalogue_csv import read_catalogue
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, moved_apart
from netvlad_core.data.tables import read_columns
from netvlad_core.errors import SourceError

SPLITS = ("train", "val", "test")
_DATABASES = ("database", "reference", "ref", "database.csv")
_QUERIES = ("queries", "query", "queries.csv")
_TRUTHS = ("ground_truth.csv", "ground_truth.json")


def is_it(path: Path) -> bool:
    """Whether there is a database beside queries."""
    return bool(_pairs(path))


def splits(path: Path) -> list[str]:
    """See `Format`."""
    return [split for split in _pairs(path) if split]


def read(path: Path, split: str | None) -> PlaceSet:
    """Read one split; see `open_place_set`."""
    pairs = _pairs(path)
    if split is None and len(pairs) > 1:
        raise SourceError(f"{path} has the splits {', '.join(pairs)}: name one")
    if split is not None and split not in pairs:
        found = ", ".join(filter(None, pairs)) or "a database and queries without splits"
        raise SourceError(f"{path} has no split {split!r}; it has {found}")
    name = next(iter(pairs)) if split is None else split
    database, queries = pairs[name]
    truth = next((file for t in _TRUTHS if (file := database.parent / t).is_file()), None)
    places = read_pair(database, queries, truth)
    return replace(places, name=f"{path.absolute().name} {name}".strip(), split=name or None)


def read_pair(database: Path, queries: Path, ground_truth: Path | None = None) -> PlaceSet:
    """Read two folders or catalogues that may lie anywhere.

    Raises
    ------
    SourceError
        If one has no images or wrong positions, or the ground truth names images that are not there.
    """
    sides = [_read_side(path.expanduser().absolute()) for path in (database, queries)]
    (places, place_zones), (asked, query_zones) = sides
    numbers = {zone: number for number, zone in enumerate(sorted({*place_zones, *query_zones}))}
    if len(numbers) > 1:  # metres of two UTM zones do not compare
        places, asked = (_moved(images, [numbers[zone] for zone in zones]) for images, zones in sides)
    correct = None if ground_truth is None else _read_truth(ground_truth, places, asked)
    if ground_truth is not None:
        known = f"ground truth {ground_truth.name}"
    elif places.positions is not None and asked.positions is not None:
        known = "with positions"
    else:
        known = "without positions"
    return PlaceSet(
        database.absolute().parent.name,
        f"{database.name} and {queries.name}, {known}",
        places,
        asked,
        correct=correct,
    )


def _pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    """Split ("" if there are none) to its database and queries."""
    if pair := _pair(path):
        return {"": pair}
    for base in (path / "images", path):
        if found := {split: pair for split in SPLITS if (pair := _pair(base / split))}:
            return found
    return {}


def _pair(folder: Path) -> tuple[Path, Path] | None:
    database = next((p for name in _DATABASES if (p := folder / name).exists()), None)
    queries = next((p for name in _QUERIES if (p := folder / name).exists()), None)
    return (database, queries) if database and queries else None


def _read_side(path: Path) -> tuple[PlaceImages, list[str]]:
    """Images of a folder or a catalogue and, for those with "@" names, their UTM zones."""
    if path.suffix.lower() == ".csv":
        rows = read_catalogue(path)
        poses = [pose for _, _, pose in rows]
        named = read_columns(path, ("image",), ("label", "yaw", "qx"))
        return PlaceImages(
            path.parent,
            [image for image, _, _ in rows],
            np.array([pose.position[:2] for pose in poses]),
            np.array([pose.yaw for pose in poses]) if {"yaw", "qx"} & set(named) else None,
            np.array(named["label"]) if "label" in named else None,
        ), []
    if not path.is_dir():
        raise SourceError(f"{path} is neither a folder of images nor a catalogue .csv")
    names = image_names(path)
    if not names:
        raise SourceError(f"no images in {path}")
    if not have_positions(path, names):
        return PlaceImages(path, names), []
    files = [name.rpartition("/")[2] for name in names]
    headings = [heading_of_name(file) for file in files]
    panoramas = [panorama_of_name(file) for file in files]
    return PlaceImages(
        path,
        names,
        np.array([pose_of_name(file).position[:2] for file in files]),
        np.array(headings, dtype=np.float64) if any(h is not None for h in headings) else None,
        groups=np.array(panoramas) if all(panoramas) else None,
    ), [zone_of_name(file) for file in files]


def _moved(images: PlaceImages, collections: list[int]) -> PlaceImages:
    if images.positions is None:
        return images
    return replace(images, positions=moved_apart(images.positions, np.array(collections)))


def _read_truth(path: Path, database: PlaceImages, queries: PlaceImages) -> list[np.ndarray]:
    """Correct rows of the database for each query; a query that is not named has none."""
    places, asked = _row_of_name(database), _row_of_name(queries)
    correct: list[set[int]] = [set() for _ in range(len(queries))]
    for query, place in _pairs_of_truth(path):
        rows = []
        for name, known, count, what in (
            (query, asked, len(queries), "query"),
            (place, places, len(database), "database"),
        ):
            row = known.get(name, int(name) if name.isdecimal() else -1)
            if not 0 <= row < count:
                raise SourceError(
                    f"{path} names the {what} image {name!r}, which is not among the {count} there"
                )
            rows.append(row)
        correct[rows[0]].add(rows[1])
    return [np.array(sorted(rows), dtype=np.int64) for rows in correct]


def _pairs_of_truth(path: Path) -> Iterable[tuple[str, str]]:
    if path.suffix.lower() == ".csv":
        columns = read_columns(path, ("query", "database"))
        return zip(columns["query"], columns["database"])
    try:
        content = json.loads(path.read_text())
        table = content.get("positives", content)
        return [(str(query), str(place)) for query, places in table.items() for place in places]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SourceError(
            f"cannot read the ground truth {path}: {error}; expected {{query: [database, ...]}}"
        ) from error


def _row_of_name(images: PlaceImages) -> dict[str, int]:
    """Rows by the path below the folder, with the folder's own name before it, and by the bare file name."""
    rows = {name.rpartition("/")[2]: row for row, name in enumerate(images.names)}
    for row, name in enumerate(images.names):
        rows[name] = rows[f"{images.folder.name}/{name}"] = row
    return rows
