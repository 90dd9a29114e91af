"""The map of a report: where its places are, how far apart, what they look like and what looks like them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from netvlad_core.data.radii import NEGATIVE_BEYOND
from netvlad_core.errors import MapError
from netvlad_core.evaluation.report.sheets import PictureSheets
from netvlad_core.evaluation.report.values import all_rounded, histogram, metres, rounded
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.search import open_index

# Of a map without a drive: places that are looked at one by one, and the best places elsewhere of each.
_MOST_LOOKED_AT = 2000
_ELSEWHERE = 5
_SEARCHED = 200  # places, near ones included
_APART = 10  # places that are elsewhere in a map without poses


def map_values(place_map: PlaceMap) -> dict[str, Any]:
    """The map as a whole."""
    header = asdict(place_map.header)
    files = header.pop("files")
    positions = np.asarray(place_map.poses[:, :3])
    is_one_drive = np.diff(place_map.sessions) == 0
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)[is_one_drive]
    return {
        "header": header,
        "files": {name: stated["bytes"] for name, stated in files.items()},
        "x": all_rounded(positions[:, 0], 2),
        "y": all_rounded(positions[:, 1], 2),
        "has_poses": place_map.has_poses,
        "sessions": [session["name"] for session in place_map.drives],
        "session_of": None if is_one_drive.all() else place_map.sessions.tolist(),
        "length": rounded(float(np.nansum(steps)), 1) if np.isfinite(steps).any() else None,
        "seconds": rounded(int(place_map.stamps.max() - place_map.stamps.min()) / 1e9, 1),
        "spacings": histogram(steps),
    }


def place_pictures(place_map: PlaceMap, places: Iterable[int], most_bytes: float) -> dict[str, Any] | None:
    """Pictures of some places: the sheets and `of`, the number of each place's picture by place.

    None if the map has no images. An image that cannot be read is left out.
    """
    wanted = sorted(set(places))
    if place_map.images is None or not wanted:
        return None
    sheets, numbers = PictureSheets(len(wanted), most_bytes), {}
    for place in wanted:
        try:
            image = place_map.image(place)
        except MapError:
            continue
        if image is not None:
            numbers[str(place)] = sheets.add(image)
    values = sheets.values()
    return None if values is None else {**values, "of": numbers}


def place_rows(place_map: PlaceMap) -> Iterator[dict[str, Any]]:
    """Places of a map for its own sake, at most 2000 spread over it, each with those that look most like it.

    Only places more than 25 m away count, without poses those more than ten places away: a robot may take one
    for the other.
    """
    count = len(place_map)
    index = open_index(place_map.descriptors)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOST_LOOKED_AT)).astype(int))
    first = int(place_map.stamps[0])
    for place in chosen.tolist():
        similarities, rows = index.search(place_map.descriptors[place : place + 1], _SEARCHED)
        if place_map.has_poses:
            away = np.linalg.norm(place_map.poses[rows[0], :3] - place_map.poses[place, :3], axis=1)
            is_elsewhere = away > NEGATIVE_BEYOND
        else:
            is_elsewhere = np.abs(rows[0] - place) > _APART
        found = np.flatnonzero(is_elsewhere)[:_ELSEWHERE]
        yield {
            "name": place_map.names[place],
            "time": rounded((int(place_map.stamps[place]) - first) / 1e9, 2),
            "number": place,
            "truth": metres(place_map.poses[place, :3]),
            "place": int(rows[0][found[0]]) if len(found) else None,
            "similarity": rounded(similarities[0][found[0]], 3) if len(found) else None,
            "matches": [[int(rows[0][i]), rounded(similarities[0][i], 3), 0] for i in found],
        }
