"""Positions in file names, as several collections of street images have them.

`@easting@northing@zone@letter@lat@lon@pano_id@tile@heading@pitch@roll@height@timestamp@note@.jpg`: UTM metres
and a heading in degrees clockwise from north; all fields but the first two may be empty. Pitch, roll, height
and timestamp mean different things in different collections and are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError, SourceError

_EASTING, _NORTHING, _ZONE, _PANORAMA, _HEADING = 1, 2, 3, 7, 9


def is_at_name(name: str) -> bool:
    """Tell whether a file name (not a path: folders may have an @ too) carries a position."""
    return name.startswith("@")


def have_positions(folder: Path, names: Sequence[str]) -> bool:
    """Tell whether the files of a folder carry positions; raises SourceError if only some do."""
    files = [name.rpartition("/")[2] for name in names]
    positioned = [is_at_name(name) for name in files]
    if any(positioned) and not all(positioned):
        raise SourceError(
            f"in {folder} some images have a position in their name and others have none, e.g. "
            f"{files[positioned.index(True)]} and {files[positioned.index(False)]}; keep them in two folders"
        )
    return any(positioned)


def pose_of_name(name: str) -> Pose:
    """Pose in UTM metres, x east and y north; looking east if the heading is not given.

    Raises
    ------
    SourceError
        If easting, northing or heading are no numbers.
    """
    fields = name.split("@")
    try:
        easting, northing = float(fields[_EASTING]), float(fields[_NORTHING])
        heading = float(_field(fields, _HEADING) or 90.0)
        return Pose.from_xyz_yaw(easting, northing, yaw=math.radians(90.0 - heading))
    except (ValueError, IndexError, PoseError) as error:
        expected = (
            "expected @easting@northing@zone@letter@lat@lon@pano_id@tile@heading@..., numbers in metres"
        )
        raise SourceError(
            f"the file name {name} carries no position: {error}; {expected} and degrees"
        ) from error


def heading_of_name(name: str) -> float | None:
    """Heading in radians from +x (east) counter-clockwise, or None if the name has none."""
    return pose_of_name(name).yaw if _field(name.split("@"), _HEADING) else None


def panorama_of_name(name: str) -> str:
    """Id of the panorama that the image is cut from, empty if it is not given."""
    return _field(name.split("@"), _PANORAMA)


def zone_of_name(name: str) -> str:
    """UTM zone, empty if it is not given."""
    return _field(name.split("@"), _ZONE)


def _field(fields: list[str], index: int) -> str:
    # The last part is the suffix of the file.
    return fields[index].strip() if index < len(fields) - 1 else ""
