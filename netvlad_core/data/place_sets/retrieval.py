"""Image retrieval sets with lists instead of positions: Oxford and Paris buildings, Holidays.

Oxford and Paris: `<query>_query.txt` holds an image and the region of it that is asked for (x0 y0 x1 y1);
beside it `_good.txt` and `_ok.txt` list what is correct and `_junk.txt` what counts as neither. Holidays:
images numbered 100000.jpg upwards; the first of each hundred is the query, its others are correct.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from netvlad_core.data.catalogue import image_names
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError
from netvlad_core.files import read_file

_QUERY = "_query.txt"
_IMAGE_FOLDERS = ("images", "jpg", "")
_HOLIDAYS_NAME = re.compile(r"1\d{5}\.jpe?g", re.IGNORECASE)
# Oxford's query files put this before the name.
_OXFORD_PREFIX = "oxc1_"


def splits(path: Path) -> list[str] | None:
    """See `Format`."""
    return ["test"] if _truth_folder(path) or _holidays_folder(path) else None


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    path = path.absolute()
    truth, holidays = _truth_folder(path), _holidays_folder(path)
    if holidays and not truth:
        return _read_holidays(path.name, holidays)
    return _read_lists(path, sorted(truth.glob(f"*{_QUERY}")) if truth else [])


def _truth_folder(path: Path) -> Path | None:
    files = (file for pattern in ("", "*/") for file in path.glob(f"{pattern}*{_QUERY}"))
    return next((file.parent for file in files), None)


def _holidays_folder(path: Path) -> Path | None:
    for folder in (path / "jpg", path):
        files = [file.name for file in folder.glob("1*")] if folder.is_dir() else []
        if files and all(map(_HOLIDAYS_NAME.fullmatch, files)):
            return folder
    return None


def _read_lists(path: Path, query_files: list[Path]) -> PlaceSet:
    folders = [path / name for name in _IMAGE_FOLDERS if (path / name).is_dir()]
    folder, names = next(((f, found) for f in folders if (found := image_names(f)[0])), (path, []))
    if not names:
        raise SourceError(f"no images in {path}; expected a folder {' or '.join(_IMAGE_FOLDERS[:2])}")
    row_of = {Path(name).stem: row for row, name in enumerate(names)}

    def rows(file: Path, images: list[str]) -> np.ndarray:
        if unknown := [image for image in images if image not in row_of]:
            raise SourceError(
                f"{file} names the image {unknown[0]}, which is not among the {len(names)} images"
            )
        return np.array(sorted(row_of[image] for image in images), dtype=np.int64)

    queries, regions, correct, ignored = [], [], [], []
    for file in query_files:
        image, *corners = _words(file) or [""]
        try:
            x0, y0, x1, y1 = (round(float(corner)) for corner in corners)
        except ValueError as error:
            expected = f"expected an image and x0 y0 x1 y1 in pixels; found {1 + len(corners)} fields"
            raise SourceError(f"{file}: {expected}: {error}") from error
        queries.append(names[rows(file, [image.removeprefix(_OXFORD_PREFIX)])[0]])
        regions.append([x0, y0, x1, y1])
        lists = [file.with_name(file.name.replace(_QUERY, f"_{kind}.txt")) for kind in ("good", "ok", "junk")]
        good, ok, junk = (rows(each, _words(each)) for each in lists)
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


def _words(file: Path) -> list[str]:
    try:
        return read_file(file).decode().split()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the list {file}: {error}") from error


def _read_holidays(name: str, folder: Path) -> PlaceSet:
    names = image_names(folder)[0]
    numbers = np.array([int(Path(image).stem) for image in names])
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
