"""One space for the descriptors of a model in the table of places, whatever map they are from.

Each reduced map has directions of its own, so coordinates of different maps do not compare. A store has one
set of directions for each model: those of the first map that is pushed, which `build-maps` has fitted to all
drives; a small map spans fewer, and random ones stand for the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np

from netvlad_core.fleet.objects import Objects, StoreError
from netvlad_core.fleet.tables import WIDTH
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import principal_directions

_BLOCK = 1024


class Space:
    """Coordinates (N, 512) of a model's descriptors (N, D).

    Parameters
    ----------
    directions : (512, D) float32, orthogonal; None if D is 512 at most, and the numbers stay as they are.
    """

    def __init__(self, directions: np.ndarray | None) -> None:
        self._directions = directions

    @classmethod
    def of_model(cls, objects: Objects, place_map: PlaceMap) -> Space:
        """The space of a map's model; the first map that is pushed decides on it."""
        dimension = place_map.header.dimension
        if dimension <= WIDTH:
            return cls(None)
        name = _name(place_map.header.model_id)
        content = objects.read(name)
        if content is None:
            file = BytesIO()
            np.save(file, _directions(place_map).astype(np.float16))
            objects.create(name, file.getvalue())  # or another program has
            content = objects.read(name)
        return cls(_checked(content, name, dimension))

    @classmethod
    def known(cls, objects: Objects, model_id: str, dimension: int) -> Space:
        """The space of a model of which there are maps; raises StoreError if it is missing."""
        if dimension <= WIDTH:
            return cls(None)
        name = _name(model_id)
        return cls(_checked(objects.read(name), name, dimension))

    def of_descriptors(self, descriptors: np.ndarray) -> np.ndarray:
        """Coordinates (N, 512) float32 of descriptors (N, D) float32 as the network gives them."""
        if self._directions is not None:
            return descriptors @ self._directions.T
        return np.pad(descriptors, ((0, 0), (0, WIDTH - descriptors.shape[1])))

    def of_map(self, place_map: PlaceMap) -> Iterator[tuple[np.ndarray, ...]]:
        """Rows, stamps, poses and coordinates (K, 512) float16 of all places of a map, block by block."""
        carried = None
        if place_map.directions is not None:
            carried = self.of_descriptors(place_map.directions)  # without the way through D numbers
        for start in range(0, len(place_map), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(place_map)))
            stored = place_map.descriptors[rows]
            coordinates = self.of_descriptors(stored) if carried is None else stored @ carried
            yield rows, place_map.stamps[rows], place_map.poses[rows], coordinates.astype(np.float16)


def _directions(place_map: PlaceMap) -> np.ndarray:
    """(512, D) orthogonal: those of the map, and random ones for what it does not span.

    The random ones are as much longer than 1 as keeps inner products right on average: else places that the
    first map does not span would resemble an image less than its own do.
    """
    own = place_map.directions
    if own is None:
        own = principal_directions(place_map.descriptors, WIDTH)
    own = own[:WIDTH].astype(np.float64)
    dimension, missing = place_map.header.dimension, WIDTH - len(own)
    random = np.random.default_rng(0).standard_normal((missing, dimension))
    directions = np.linalg.qr(np.concatenate([own, random]).T)[0].T
    directions[len(own) :] *= np.sqrt((dimension - len(own)) / max(1, missing))
    return directions


def _name(model_id: str) -> str:
    return f"spaces/{hashlib.sha256(model_id.encode()).hexdigest()}.npy"


def _checked(content: bytes | None, name: str, dimension: int) -> np.ndarray:
    if content is None:
        raise StoreError(f"the store lacks {name}; push a map of this model again")
    try:
        directions = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(f"{name} in the store is damaged: {error}") from error
    if directions.shape != (WIDTH, dimension) or directions.dtype != np.float16:
        raise StoreError(
            f"{name} in the store has the shape {directions.shape}, expected {(WIDTH, dimension)}"
        )
    directions = directions.astype(np.float32)
    lengths = np.linalg.norm(directions, axis=1)
    if not ((lengths > 0.99) & (lengths < 1.01 * np.sqrt(dimension))).all():  # false for NaN
        raise StoreError(f"{name} in the store is damaged: its directions have impossible lengths")
    return directions
