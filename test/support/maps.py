"""Maps of made-up descriptors, written in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import write_descriptors, write_places, writing_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places

WIDTH = 48


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) as descriptors: float32, of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def straight(descriptors: np.ndarray, step: float) -> np.ndarray:
    """Poses (N, 7) for places along x, `step` metres apart."""
    poses = np.zeros((len(descriptors), 7))
    poses[:, 0], poses[:, 6] = step * np.arange(len(descriptors)), 1.0
    return poses


def made_map(
    folder: Path,
    descriptors: np.ndarray,
    poses: np.ndarray | None = None,
    dimension: int = 0,
    images: list[bytes] | None = None,
    model: str = "net@1",
    first_stamp: int = 0,
    camera: Camera | None = None,
    origin: list[float] | None = None,
) -> PlaceMap:
    """A map of descriptors (N, D), its network nowhere; without poses the places lie 2 m apart along x."""
    count, name = len(descriptors), folder.name
    places = Places(
        descriptors[:0],
        first_stamp + np.arange(count),
        straight(descriptors, 2.0) if poses is None else poses,
        camera,
        images,
    )
    header = MapHeader(
        model_id=model,
        dimension=descriptors.shape[1],
        frame_id="map",
        source=f"drive {name}",
        weights="/net",
        store_images="none" if images is None else "full",
        origin=origin,
    )
    with writing_map(folder, header) as new:
        write_descriptors(descriptors, new, dimension)
        write_places(new, places, [f"{name}/{row}" for row in range(count)])
    return PlaceMap.open(folder)
