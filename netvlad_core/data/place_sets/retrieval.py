"""Image retrieval sets with lists instead of positions: Oxford and Paris buildings, Holidays.

Oxford and Paris: `<query>_query.txt` holds an image and the region of it that is asked for (x0 y0 x1 y1);
beside it `_good.txt` and `_ok.txt` list what is correct and `_junk.txt` what counts as neither. Holidays:
images numbered 100000.jpg upwards; the first of each hundred is the query, its others are correct.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from netvlad_core.data.image_lists import image_names
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError

_QUERY = "_query.txt"
_IMAGE_FOLDERS = ("images", "jpg", "")
_HOLIDAYS_NAME = re.compile(r"1\d{5}\.jpe?g", re.IGNORECASE)
# Oxford's query files put this before the name.
_OXFORD_PREFIX = "oxc1_"


def is_it(path: Path) -> bool:
    """Whether there are lists of Oxford and Paris, or numbered Holidays images."""
    return _truth_folder(path) is not None or _holidays_folder(path) is not None


def splits(path: Path) -> list[str]:
    """See `Format`."""
    return ["test"]


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    path = path.absolute()
    if truth := _truth_folder(path):
        return _read_lists(path, truth)
    folder = _holidays_folder(path)
    assert folder is not None  # says is_it
    return _read_holidays(path.name, folder)


def _truth_folder(path: Path) -> Path | None:
    files = (file for pattern in ("", "*/") for file in path.glob(f"{pattern}*{_QUERY}"))
    return next((file.parent for file in files), None)


def _holidays_folder(path: Path) -> Path | None:
    for name in ("jpg", ""):
        folder = path / name
        files = [file.name for file in folder.glob("1*")] if folder.is_dir() else []
        if files and all(map(_HOLIDAYS_NAME.fullmatch, files)):
            return folder
    return None


def _read_lists(path: Path, truth: Path) -> PlaceSet:
    folders = [path / name for name in _IMAGE_FOLDERS if (path / name).is_dir()]
    folder, names = next(((f, found) for f in folders if (found := image_names(f)[0])), (path, []))
    if not names:
        raise SourceError(f"no images in {path}; expected a folder {' or '.join(_IMAGE_FOLDERS[:2])}")
    rows = {Path(name).stem: row for row, name in enumerate(names)}
    queries, regions, correct, ignored = [], [], [], []
    for file in sorted(truth.glob(f"*{_QUERY}")):
        image, region = _read_query(file)
        queries.append(names[_row(rows, image, file)])
        regions.append(region)
        good, ok, junk = (
            _read_list(file.with_name(file.name.replace(_QUERY, f"_{kind}.txt")), rows)
            for kind in ("good", "ok", "junk")
        )
        correct.append(np.union1d(good, ok))
        ignored.append(junk)
    return PlaceSet(
        path.name,
        f"retrieval lists (Oxford and Paris layout), {len(queries)} query regions",
        PlaceImages(folder, names),
        PlaceImages(folder, queries, regions=np.array(regions)),
        correct=correct,
        ignored=ignored,
    )


def _read_query(file: Path) -> tuple[str, list[int]]:
    try:
        text = file.read_text().split()
        if len(text) != 5:
            raise ValueError(f"found {len(text)} fields")
        x0, y0, x1, y1 = (round(float(value)) for value in text[1:])
    except ValueError as error:
        raise SourceError(f"{file}: expected an image and x0 y0 x1 y1 in pixels; {error}") from error
    return text[0].removeprefix(_OXFORD_PREFIX), [x0, y0, x1, y1]


def _read_list(file: Path, rows: dict[str, int]) -> np.ndarray:
    try:
        images = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the list {file}: {error}") from error
    return np.array(sorted(_row(rows, image, file) for image in images), dtype=np.int64)


def _row(rows: dict[str, int], image: str, file: Path) -> int:
    if image not in rows:
        raise SourceError(f"{file} names the image {image}, which is not among the {len(rows)} images")
    return rows[image]


def _read_holidays(name: str, folder: Path) -> PlaceSet:
    names = image_names(folder)[0]
    numbers = np.array([int(Path(name).stem) for name in names])
    is_query = numbers % 100 == 0
    if not is_query.any():
        raise SourceError(f"no image of {folder} has a number that ends in 00, so there is no query")
    query_rows = np.flatnonzero(is_query)
    return PlaceSet(
        name,
        f"Holidays, {len(query_rows)} queries by number, each left out of its own ranking",
        PlaceImages(folder, names),
        PlaceImages(folder, [names[row] for row in query_rows]),
        correct=[np.flatnonzero((numbers // 100 == numbers[row] // 100) & ~is_query) for row in query_rows],
        ignored=[np.array([row]) for row in query_rows],
    )
