"""The MATLAB structures of the NetVLAD paper: Pittsburgh 30k and 250k, Tokyo 24/7, Tokyo Time Machine.

A file such as `pitts30k_test.mat` holds `dbStruct` with, in this order, whichSet, dbImageFns, utmDb (2xN
metres), qImageFns, utmQ, numImages, numQueries, posDistThr, posDistSqThr, nonTrivPosDistSqThr. Files that
other projects have written name the fields differently, or put more of them between, as Tokyo Time Machine
does: known names win over the order. The images are looked for beside the file and in the usual folders.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.data.mat_file import read_mat_file
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError

_NAMES = {
    "database images": (("dbImageFns", "dbImage"), 1),
    "database positions": (("utmDb",), 2),
    "query images": (("qImageFns", "qImage"), 3),
    "query positions": (("utmQ",), 4),
    "threshold": (("posDistThr",), 7),
}
# Tokyo 24/7: twelve cut-outs of each panorama, NAME_012_000.jpg to NAME_012_330.jpg, stored as PNG.
_TOKYO_CUT_OUT = re.compile(r"(.+)_012_\d{3}\.\w+")
_PITTS_CUT_OUT = re.compile(r"(.+)_pitch\d+_yaw\d+\.\w+")
_DATABASE_FOLDERS = (
    *("", "images", "database_gsv_vga", "tokyo247", "tokyo247/images", "tokyoTM/images", "pitts250k"),
    *("Pittsburgh", "Pittsburgh/images"),
)
_QUERY_FOLDERS = (
    *("", "queries", "queries_real", "query", "images", "247query_subset_v2", "queries/247query_subset_v2"),
    *("tokyo247/query", "tokyo247/247query_subset_v2", "tokyoTM/images", "pitts250k/queries_real"),
    *("Pittsburgh/queries", "Pittsburgh/queries_real"),
)
_MOST_COMPRESSION = 200  # names of files repeat each other
_SPLIT = re.compile(r"_(train|val|test)$")


def splits(path: Path) -> list[str] | None:
    """See `Format`."""
    return list(_files(path)) or None


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    files = _files(path)
    split = split or next(iter(files))
    file = files[split]
    values = _read_structure(file)
    database = _images(file, "database", values, _DATABASE_FOLDERS)
    is_tokyo = all(_TOKYO_CUT_OUT.fullmatch(name.rpartition("/")[2]) for name in database.names)
    kind = "Tokyo 24/7, a panorama's cut-outs count once" if is_tokyo else "Pittsburgh's layout"
    return PlaceSet(
        file.stem,
        f"MATLAB dbStruct {file.name} ({kind})",
        database,
        _images(file, "query", values, _QUERY_FOLDERS),
        split,
        _threshold(file, values["threshold"]),
        group_counts_once=is_tokyo,
    )


def _files(path: Path) -> dict[str, Path]:
    """Files by the split in their name, "test" if there is none."""
    if path.is_file():
        found = [path] if path.suffix == ".mat" else []
    else:
        folders = (path, path / "datasets", path / "raw")
        found = next((files for folder in folders if (files := sorted(folder.glob("*.mat")))), [])
    return {match[1] if (match := _SPLIT.search(file.stem)) else "test": file for file in found}


def _read_structure(file: Path) -> dict[str, Any]:
    variables = read_mat_file(file, SourceError, _MOST_COMPRESSION)
    structure = variables.get("dbStruct")
    if structure is None or structure.dtype.names is None or structure.size != 1:
        found = ", ".join(name for name in variables if not name.startswith("__")) or "nothing"
        raise SourceError(f"{file} holds no structure dbStruct; found {found}")
    fields, record = structure.dtype.names, structure.item()
    values = {}
    for key, (names, place) in _NAMES.items():
        index = next((fields.index(name) for name in names if name in fields), place)
        if index >= len(record):
            raise SourceError(
                f"the dbStruct of {file} lacks {names[0]}; expected whichSet, dbImageFns, utmDb, qImageFns, "
                f"utmQ, numImages, numQueries, posDistThr, ...; found {', '.join(fields)}"
            )
        values[key] = record[index]
    return values


def _images(file: Path, side: str, values: dict[str, Any], usual: Sequence[str]) -> PlaceImages:
    cells = [np.ravel(cell)[:1].tolist() for cell in np.ravel(values[f"{side} images"])]
    if not cells or not all(
        isinstance(name, str) and name.strip() for cell in cells for name in cell or [""]
    ):
        raise SourceError(f"the {side} images of {file} are no cell array of file names")
    names = [name.strip().replace("\\", "/") for (name,) in cells]
    # Tokyo's structure says .jpg of files that are .png.
    as_png = [str(Path(name).with_suffix(".png")) for name in names]
    for found in (names, as_png):
        if folder := _find_folder(file, found, usual):
            positions = _positions(file, f"{side} positions", values[f"{side} positions"], len(names))
            return PlaceImages(folder, found, positions, groups=_panoramas(found))
    raise SourceError(
        f"the {side} images of {file}, e.g. {names[0]}, are in none of the usual folders beside or above it: "
        f"{', '.join(usual[1:])}"
    )


def _positions(file: Path, what: str, values: Any, count: int) -> np.ndarray:
    try:
        positions = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(f"the {what} of {file} are no numbers: {error}") from error
    if positions.shape != (2, count):
        expected = f"expected (2, {count}), in metres"
        raise SourceError(f"the {what} of {file} have the shape {positions.shape}; {expected}")
    return positions.T


def _threshold(file: Path, values: Any) -> float:
    threshold = np.asarray(values)
    if threshold.size != 1 or threshold.dtype.kind not in "iuf" or not threshold.item() > 0:
        raise SourceError(f"posDistThr of {file} is {threshold.tolist()}; expected metres above 0")
    return float(threshold.item())


def _panoramas(names: Sequence[str]) -> np.ndarray:
    """What each image is cut from, or the image itself."""
    files = [name.rpartition("/")[2] for name in names]
    matches = [_TOKYO_CUT_OUT.fullmatch(file) or _PITTS_CUT_OUT.fullmatch(file) for file in files]
    return np.array([match[1] if match else file for match, file in zip(matches, files)])


def _find_folder(file: Path, names: Sequence[str], usual: Sequence[str]) -> Path | None:
    """The folder, of the usual ones beside or above the file, that has most of a sample of the images."""
    sample = names[:: max(1, len(names) // 50)]
    bases = (file.absolute().parent, file.absolute().parent.parent)
    candidates = [base / folder for base in bases for folder in usual]
    counts = [sum((folder / name).is_file() for name in sample) for folder in candidates]
    return candidates[int(np.argmax(counts))] if any(counts) else None
