"""Catalogues of images with positions, as CSV files.

Columns: `image` (path relative to the CSV), `x` and `y` in metres; optional `z`, `yaw` in radians or `qx`,
`qy`, `qz`, `qw`, and `stamp` in seconds. Other columns are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from netvlad_core.data.geometry import Pose
from netvlad_core.data.tables import read_rows
from netvlad_core.data.trajectory import stamp_from_seconds
from netvlad_core.errors import PoseError, SourceError

_REQUIRED = ("image", "x", "y")
_QUATERNION = ("qx", "qy", "qz", "qw")
_EXPECTED = "image, x, y, optionally z, yaw or qx, qy, qz, qw, and stamp"


def read_catalogue(path: Path) -> list[tuple[str, int | None, Pose]]:
    """Read the rows of a catalogue: image path as written, stamp in nanoseconds or None, pose.

    Raises
    ------
    SourceError
        Names the file and the line in which a column, a number or a value is wrong.
    """
    rows = []
    seen: dict[str, int] = {}
    for line, row in read_rows(path, _REQUIRED, _EXPECTED)[1]:
        _check_rotation(path, row)
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


def _check_rotation(path: Path, row: Mapping[str, str]) -> None:
    rotation = [name for name in _QUATERNION if name in row]
    if rotation and (len(rotation) < len(_QUATERNION) or "yaw" in row):
        found = f"found {', '.join(filter(None, row))}"
        raise SourceError(f"{path}: a rotation is either yaw or all of qx, qy, qz, qw; {found}")


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
