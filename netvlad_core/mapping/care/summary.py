"""What a map holds, in names and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from netvlad_core.data.trajectory import seconds
from netvlad_core.mapping.place_map import PlaceMap


def summary(place_map: PlaceMap) -> dict[str, Any]:
    """Contents, way and sizes of a map, ready for JSON.

    Lengths are in metres. `length` is the way from place to place, `extent` the least and the greatest x, y
    and z; both are left out of a map without poses.
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
        "first_stamp": seconds(int(place_map.stamps.min())),
        "last_stamp": seconds(int(place_map.stamps.max())),
        "images": header.store_images,
        "has_camera": place_map.camera is not None,
        "source": header.source,
        "skipped": header.skipped,
        "bytes": size,
        "bytes_per_place": round(size / len(place_map)),
        "files": header.files,
    }


def _way(place_map: PlaceMap) -> dict[str, Any]:
    positions = place_map.poses[:, :3]
    positions = positions[np.isfinite(positions).all(axis=1)]
    values: dict[str, Any] = {"places_with_pose": len(positions), "frame_id": place_map.header.frame_id}
    if len(positions):
        extent = zip("xyz", positions.min(axis=0).round(3), positions.max(axis=0).round(3), strict=True)
        values |= {
            "spacing": place_map.header.spacing,
            "length": float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum().round(3)),
            "extent": {axis: [float(least), float(greatest)] for axis, least, greatest in extent},
        }
    return values
