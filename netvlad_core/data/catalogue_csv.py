"""Catalogues of images with positions, as CSV files.

Columns: `image` (path relative to the CSV), `x` and `y` in metres; optional `z`, `yaw` in radians or `qx`,
`qy`, `qz`, `qw`, and `stamp` in seconds. Other columns are left alone.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import stamp_from_seconds
from netvlad_core.errors import PoseError, SourceError

_REQUIRED = ("image", "x", "y")
_QUATERNION = ("qx", "qy", "qz", "qw")


def read_catalogue(path: Path) -> list[tuple[str, int | None, Pose]]:
    """Read the rows of a catalogue: image path as written, stamp in nanoseconds or None, pose.

    Raises
    ------
    SourceError
        Names the file and the line where a column, a number or the order of things is wrong.
    """
    rows = []
    seen: dict[str, int] = {}
    for line, row in _rows(path):
        image = row["image"]
        if not image:
            raise SourceError(f"{path}, line {line}: the image is empty")
        first = seen.setdefault(os.path.normpath(image), line)
        if first != line:
            raise SourceError(f"{path}, line {line}: the image {image} was there already, in line {first}")
        try:
            stamp = stamp_from_seconds(row["stamp"]) if "stamp" in row else None
            rows.append((image, stamp, _pose_of(row)))
        except (ValueError, PoseError) as error:
            raise SourceError(f"{path}, line {line}: {error}") from error
    if not rows:
        raise SourceError(f"{path} lists no image")
    return rows


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield line numbers and rows, column names and values without blanks around them."""
    try:
        # Spreadsheets put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            _check_columns(path, columns)
            reader.fieldnames = columns
            for row in reader:
                if None in row or None in row.values():
                    raise SourceError(f"{path}, line {reader.line_num}: expected {len(columns)} fields")
                yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot read the catalogue {path}: {error}") from error


def _check_columns(path: Path, columns: list[str]) -> None:
    found = f"found {', '.join(columns) or 'none'}"
    optional = "optionally z, yaw or qx, qy, qz, qw, and stamp"
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise SourceError(
            f"{path} lacks the column {' and '.join(missing)}; expected image, x, y, {optional}; {found}"
        )
    rotation = [name for name in _QUATERNION if name in columns]
    if rotation and (len(rotation) < len(_QUATERNION) or "yaw" in columns):
        raise SourceError(f"{path}: a rotation is either yaw or all of qx, qy, qz, qw; {found}")
    if repeated := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise SourceError(f"{path} has the column {' and '.join(repeated)} twice")


def _pose_of(row: Mapping[str, str]) -> Pose:
    position = [_number(row, name) for name in ("x", "y", "z") if name in row]
    position += [0.0] * (3 - len(position))
    if "qx" in row:
        return Pose.from_values(position, [_number(row, name) for name in _QUATERNION])
    x, y, z = position
    return Pose.from_xyz_yaw(x, y, z, _number(row, "yaw") if "yaw" in row else 0.0)


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        return float(row[name])
    except ValueError:
        raise ValueError(f"{name} is {row[name]!r}, expected a number") from None
