"""What a town plan is made of. The ground plane is z = 0 of the frame `map` (x east, y north, metres)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class District:
    """What the houses along one street look like."""

    materials: tuple[str, ...]
    floors: tuple[int, int]
    widths: tuple[float, float]
    roofs: tuple[str, ...]
    shops: float = 0.0  # share of houses with a shop on the ground floor
    setback: float = 0.0  # metres of front garden
    gap: float = 0.0  # metres between houses


@dataclass(frozen=True)
class Street:
    """A straight street between two crossings; `left` and `right` say what stands along it (None: a park)."""

    name: str
    start: np.ndarray
    end: np.ndarray
    half_width: float  # of the carriageway, parking bays included
    pavement: float
    left: District | None
    right: District | None
    surface: str = "asphalt"
    tree_side: int = 0  # +1 left, -1 right, 0 none
    parking: float = 0.6  # share of the kerb taken by parked cars

    @cached_property
    def length(self) -> float:
        return float(np.linalg.norm(self.end - self.start))

    @cached_property
    def along(self) -> np.ndarray:
        return (self.end - self.start) / self.length

    @cached_property
    def leftward(self) -> np.ndarray:
        return np.array([-self.along[1], self.along[0]])

    def point(self, distance: float, left: float) -> np.ndarray:
        return self.start + distance * self.along + left * self.leftward

    def local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 2) map points as (distance along the street, offset to its left)."""
        x, y = points[..., 0] - self.start[0], points[..., 1] - self.start[1]
        (along_x, along_y), (left_x, left_y) = self.along, self.leftward
        return x * along_x + y * along_y, x * left_x + y * left_y

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Metres from the segment between the crossings to (..., 2) points."""
        along, left = self.local(points)
        return np.hypot(along - np.clip(along, 0.0, self.length), left)


@dataclass(frozen=True)
class Building:
    """`footprint` (4, 2) runs counter-clockwise; its first edge is the front."""

    footprint: np.ndarray
    floors: int
    floor_height: float
    material: str
    wall: tuple[int, int, int]
    trim: tuple[int, int, int]
    roof: str
    roof_colour: tuple[int, int, int]
    shop: str | None
    shop_colour: tuple[int, int, int]
    seed: int

    @property
    def height(self) -> float:
        """Of the eaves, metres."""
        return self.floors * self.floor_height + 0.8


@dataclass(frozen=True)
class Thing:
    """A tree, car, lamp or sign: where it stands, where it looks and which of its kind it is."""

    kind: str
    position: np.ndarray  # (2,) metres
    yaw: float = 0.0
    size: float = 1.0
    variant: int = 0


def kerb_distance(streets: list[Street], points: np.ndarray, blend: float = 4.0) -> np.ndarray:
    """Signed metres from the kerb, negative on the carriageway; a smooth minimum rounds the corners."""
    result = np.full(points.shape[:-1], 1e3)
    for street in streets:
        one = street.distance(points) - street.half_width
        mix = np.clip(0.5 + 0.5 * (one - result) / blend, 0.0, 1.0)
        result = one * (1 - mix) + result * mix - blend * mix * (1 - mix)
    return result
