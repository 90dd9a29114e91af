"""What a map holds, in names and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from netvlad_core.data.trajectory import seconds
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.place_map import PlaceMap


def summary(place_map: PlaceMap) -> dict[str, Any]:
    """Contents, way and sizes of a map, ready for JSON.

    Lengths are in metres. `length` is the way from place to place of each drive, `extent` the least and the
    greatest x, y and z; both are left out of a map without poses.
    """
    header = place_map.header
    size = sum(stated["bytes"] for stated in header.files.values())
    return {
        "map_id": header.map_id,
        "format": header.version,
        "model_id": header.model_id,
        "dimension": header.dimension,
        "stored_dimension": header.stored_dimension,
        "places": len(place_map),
        **_way(place_map),
        "sessions": [_session(place_map, number) for number in range(len(place_map.drives))],
        "images": header.store_images,
        "local_features": _features(place_map),
        "has_camera": place_map.has_camera,
        "source": header.source,
        "history": header.history,
        "skipped": header.skipped,
        "bytes": size,
        "bytes_per_place": round(size / len(place_map)),
        "files": header.files,
    }


def _features(place_map: PlaceMap) -> dict[str, Any] | None:
    stored = place_map.features
    if stored is None:
        return None
    size = place_map.header.files[layout.FEATURES_FILE]["bytes"]
    return {
        "kind": stored.kind,
        "bytes_per_place": round(size / len(place_map)),
        "is_calibrated": stored.likelihood is not None,
    }


def _session(place_map: PlaceMap, number: int) -> dict[str, Any]:
    rows = np.flatnonzero(place_map.sessions == number)
    stamps = place_map.stamps[rows]
    return {
        **place_map.drives[number],
        "places": len(rows),
        "first_stamp": seconds(int(stamps.min())) if len(rows) else None,
        "last_stamp": seconds(int(stamps.max())) if len(rows) else None,
    }


def _way(place_map: PlaceMap) -> dict[str, Any]:
    positions, sessions = place_map.poses[:, :3], place_map.sessions
    is_known = np.isfinite(positions).all(axis=1)
    positions, sessions = positions[is_known], sessions[is_known]
    header = place_map.header
    values: dict[str, Any] = {
        "places_with_pose": len(positions),
        "frame_id": header.frame_id,
        "origin": header.origin,
    }
    if len(positions):
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)[np.diff(sessions) == 0]
        extent = zip("xyz", positions.min(axis=0).round(3), positions.max(axis=0).round(3), strict=True)
        values |= {
            "spacing": header.spacing,
            "length": float(steps.sum().round(3)),
            "extent": {axis: [float(least), float(greatest)] for axis, least, greatest in extent},
        }
    return values
