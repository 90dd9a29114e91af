"""Several maps of one model become one, in the frame of the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netvlad_core.data.geodesy import frame_at
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap


def merge(maps: Sequence[PlaceMap], joints: Sequence[Pose], output: Path, dimension: int) -> PlaceMap:
    """Write all places of several maps as one map, each drive as a session of its own.

    Parameters
    ----------
    joints : frame of the first map <- frame of each further one.
    dimension : as in `BuildOptions`.

    Raises
    ------
    MapError
        If the maps are of several models, or something else than a map is at the output.
    """
    parts = [Part.of(maps[0])]
    parts += [Part.of(other, joint=joint) for other, joint in zip(maps[1:], joints, strict=True)]
    return merge_parts(parts, output, dimension)


def merge_parts(parts: Sequence[Part], output: Path, dimension: int) -> PlaceMap:
    """Do what `merge` does with parts whose poses are in one frame."""
    maps = [part.place_map for part in parts]
    return write_parts(parts, output, "merge", dimension, source=sources(maps))


def sources(maps: Sequence[PlaceMap]) -> str:
    """Where the places of several maps are from, for the header of a map that holds them."""
    return f"the maps {', '.join(place_map.header.map_id for place_map in maps)}"[:1000]


def joints_on_earth(maps: Sequence[PlaceMap]) -> list[Pose]:
    """Frame of the first map <- that of each further one, by where on earth their origins are.

    Raises
    ------
    MapError
        If that is not known of a map.
    """
    origins = []
    for place_map in maps:
        if place_map.header.origin is None:
            raise MapError(
                f"{place_map.path} does not know where on earth it is, since its poses were none of GPS; "
                "give the transform between the maps, or have it found by closures"
            )
        origins.append(np.array(place_map.header.origin))
    return [frame_at(origins[0], origin) for origin in origins[1:]]


def check_same_frame(maps: Sequence[PlaceMap]) -> None:
    """Refuse to take the poses of several maps as poses in one frame unless its name says so.

    Raises
    ------
    MapError
        If the names differ, or it is the frame of an odometer, which begins anew with each drive.
    """
    first = maps[0].header.frame_id
    for place_map in maps[1:]:
        if (frame := place_map.header.frame_id) != first:
            raise MapError(
                f"poses of {maps[0].path} are in the frame {first}, those of {place_map.path} in {frame}: "
                "give the transform between them, or have it found by closures"
            )
    if "odom" in first:
        raise MapError(
            f"the poses of the maps are in {first}, the frame of an odometer, which begins anew with each "
            "drive; have the transform found by closures, or give it"
        )
