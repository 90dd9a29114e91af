"""A part of a map as a map of its own: by area, by session, or without images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap


def split_by_area(place_map: PlaceMap, area: Sequence[float], output: Path) -> PlaceMap:
    """Write the places within a rectangle x0 y0 x1 y1, metres in the frame of the map, borders included.

    Raises MapError if there are none, or something else than a map is at the output.
    """
    (x0, x1), (y0, y1) = sorted((area[0], area[2])), sorted((area[1], area[3]))
    x, y = place_map.poses[:, 0], place_map.poses[:, 1]
    rows = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    return write_parts([Part.of(place_map, rows)], output, "split", 0)


def split_by_session(place_map: PlaceMap, names: Sequence[str], output: Path) -> PlaceMap:
    """Write the places of some sessions; raises MapError if the map has no session of a name."""
    known = [drive["name"] for drive in place_map.drives]
    if unknown := sorted(set(names) - set(known)):
        raise MapError(f"{place_map.path} has no session {unknown[0]!r}; it has {', '.join(known)}")
    chosen = [number for number, name in enumerate(known) if name in names]
    rows = np.flatnonzero(np.isin(place_map.sessions, chosen))
    return write_parts([Part.of(place_map, rows)], output, "split", 0)


def strip_images(place_map: PlaceMap, output: Path) -> PlaceMap:
    """Write the map without its images, and without the local features, of which images can be guessed.

    Raises MapError if something else than a map is at the output.
    """
    parts = [Part.of(place_map)]
    return write_parts(parts, output, "strip-images", 0, has_features=False, store_images="none")
