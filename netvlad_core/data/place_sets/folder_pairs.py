"""A database and queries side by side, below a folder for each split or without one.

`images/{train,val,test}/{database,queries}`, or `database` and `queries` alone; each is a folder of images or
a catalogue `database.csv`, see `data.catalogue`. `ground_truth.csv` with the columns query and database, or
`ground_truth.json` with {query: [database, ...]}, names or row numbers, says what is correct; it wins over
positions. Or one table `dataset.csv` without positions: its columns are image (or image_path), label of the
place, and split, which says database (or gallery, reference) or query (or queries).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.data.catalogue import read_catalogue, read_folder
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, moved_apart
from netvlad_core.data.tables import Table
from netvlad_core.errors import SourceError
from netvlad_core.files import read_file, user_path

SPLITS = ("train", "val", "test")
_DATABASES = ("database", "reference", "ref", "database.csv")
_QUERIES = ("queries", "query", "queries.csv")
_TRUTHS = ("ground_truth.csv", "ground_truth.json")
_TABLE = "dataset.csv"
_IS_QUERY = {"database": False, "gallery": False, "reference": False, "query": True, "queries": True}


def splits(path: Path) -> list[str] | None:
    """See `Format`."""
    pairs = _pairs(path)
    return [split for split in pairs if split] if pairs or _table(path).is_file() else None


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    pairs = _pairs(path)
    if not pairs:
        return _read_table(_table(path).absolute())
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
    sides = [_read_side(user_path(path).absolute()) for path in (database, queries)]
    (places, place_zones), (asked, query_zones) = sides
    every = sorted({*place_zones, *query_zones})
    if len(set(every) - {""}) > 1:  # metres of two UTM zones do not compare
        places, asked = (_moved(images, [every.index(zone) for zone in zones]) for images, zones in sides)
    correct = None
    if ground_truth is not None:
        correct, known = _read_truth(ground_truth, places, asked), f"ground truth {ground_truth.name}"
    else:
        known = (
            "without positions" if places.positions is None or asked.positions is None else "with positions"
        )
    description = f"{database.name} and {queries.name}, {known}"
    return PlaceSet(database.absolute().parent.name, description, places, asked, correct=correct)


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
    """Images of a folder or a catalogue, and the UTM zones of their positions."""
    is_catalogue = path.suffix.lower() == ".csv"
    images = read_catalogue(path) if is_catalogue else read_folder(path)[0]
    poses = [image.pose for image in images if image.pose is not None]
    headings = [image.pose.yaw if image.pose and image.has_heading else np.nan for image in images]
    labels, panoramas = [image.label for image in images], [image.panorama for image in images]
    return PlaceImages(
        path.parent if is_catalogue else path,
        [image.name for image in images],
        np.array([pose.position[:2] for pose in poses]) if poses else None,
        None if np.isnan(headings).all() else np.array(headings),
        None if None in labels else np.array(labels),
        np.array(panoramas) if all(panoramas) else None,
    ), [image.zone for image in images if image.pose is not None]


def _moved(images: PlaceImages, collections: list[int]) -> PlaceImages:
    if images.positions is None:
        return images
    return replace(images, positions=moved_apart(images.positions, np.array(collections)))


def _read_truth(path: Path, database: PlaceImages, queries: PlaceImages) -> list[np.ndarray]:
    """Correct rows of the database for each query; a query that is not named has none."""
    row_of_place = _rows_by_name(path, database, "database")
    row_of_query = _rows_by_name(path, queries, "query")
    correct: list[set[int]] = [set() for _ in range(len(queries))]
    for query, place in _pairs_of_truth(path):
        correct[row_of_query(query)].add(row_of_place(place))
    return [np.array(sorted(rows), dtype=np.int64) for rows in correct]


def _rows_by_name(path: Path, images: PlaceImages, what: str) -> Callable[[str], int]:
    """Find rows by the path below the folder, with the folder's own name before it, file name or number."""
    rows = {name.rpartition("/")[2]: row for row, name in enumerate(images.names)}
    for row, name in enumerate(images.names):
        rows[name] = rows[f"{images.folder.name}/{name}"] = row

    def row_of(name: str) -> int:
        row = rows.get(name, int(name) if name.isdecimal() else -1)
        if not 0 <= row < len(images):
            raise SourceError(
                f"{path} names the {what} image {name!r}, which is not among the {len(images)} there"
            )
        return row

    return row_of


def _pairs_of_truth(path: Path) -> Iterable[tuple[str, str]]:
    if path.suffix.lower() == ".csv":
        table = Table.read(path, ("query", "database"))
        return zip(table["query"], table["database"])
    try:
        content = json.loads(read_file(path))
        table = content.get("positives", content)
        return [(str(query), str(place)) for query, places in table.items() for place in places]
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        expected = "expected {query: [database, ...]}"
        raise SourceError(f"cannot read the ground truth {path}: {error}; {expected}") from error


def _table(path: Path) -> Path:
    return path if path.suffix == ".csv" else path / _TABLE


def _read_table(file: Path) -> PlaceSet:
    table = Table.read(file, ("label", "split"), "label, split, and image or image_path")
    names = table["image" if "image" in table else "image_path"]
    is_query = np.array(table.choices("split", _IS_QUERY, " or ".join(_IS_QUERY)))
    table.require_files(file.parent, names)
    images = PlaceImages(file.parent, names, labels=np.array(table["label"]))
    description = f"table {file.name} with {len(set(table['label']))} place labels"
    return PlaceSet(file.parent.name, description, images.take(~is_query), images.take(is_query))
