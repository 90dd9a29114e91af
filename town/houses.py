"""Rows of houses along a street, packed wherever there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from town.plan import Building, District, Street

Option = TypeVar("Option")

WALLS = {
    "brick": [(150, 74, 56), (126, 62, 50), (168, 98, 72), (176, 140, 104), (112, 70, 62), (186, 152, 122)],
    "plaster": [(232, 208, 150), (222, 170, 140), (240, 234, 220), (176, 200, 176), (168, 190, 208),
                (226, 190, 96), (206, 128, 108), (238, 218, 206), (186, 172, 196), (150, 176, 150)],
    "stone": [(206, 194, 170), (184, 176, 164), (214, 200, 160), (170, 156, 140)],
    "concrete": [(172, 172, 168), (150, 156, 160), (188, 180, 168)],
    "glass": [(96, 116, 130), (78, 104, 104), (120, 126, 134)],
    "panel": [(196, 92, 60), (70, 110, 132), (210, 206, 196), (112, 132, 88), (204, 168, 72)],
    "timber": [(236, 226, 204), (226, 200, 150), (214, 160, 130), (240, 238, 230)],
}  # fmt: skip
ROOFS = [(150, 74, 54), (120, 62, 50), (86, 84, 88), (70, 72, 80), (168, 92, 62), (104, 88, 76)]
TRIMS = [(244, 242, 236), (86, 62, 46), (60, 84, 72), (226, 214, 190), (70, 74, 84), (120, 48, 44)]
SIGNS = [
    (166, 34, 38),
    (26, 84, 60),
    (30, 60, 120),
    (210, 150, 30),
    (40, 40, 44),
    (110, 40, 96),
    (0, 122, 135),
    (214, 92, 30),
]
SHOPS = (
    "BAKERY", "BOOKS", "CAFE ROMA", "PHARMACY", "FLOWERS", "BANK", "HOTEL", "MARKET", "SHOES", "OPTIK",
    "PIZZA", "BICYCLES", "POST", "TEA HOUSE", "BARBER", "TOYS", "WINE BAR", "MUSIC", "FISH & CO", "HARDWARE",
    "JEWELS", "SUSHI", "TRAVEL", "GARAGE", "CINEMA", "MUSEUM", "PUB", "TAILOR", "KIOSK", "PRINTERS",
    "DENTIST",
    "GYM",
)  # fmt: skip

_DEPTH = 11.0  # metres from front to rear


class Houses:
    """Builds house after house along the streets of a town, wherever there is room.

    Parameters
    ----------
    designs : number of different houses of an estate, which follow each other in turn; None: all differ.

    Attributes
    ----------
    buildings, hedges : built so far; a hedge is (2, 2), its end points.
    """

    def __init__(self, rng: np.random.Generator, streets: list[Street], designs: int | None = None) -> None:
        self._rng, self._streets, self._designs = rng, streets, designs
        self.buildings: list[Building] = []
        self.hedges: list[np.ndarray] = []

    def build_row(self, street: Street, side: int, district: District) -> None:
        """Fill one side of a street (+1 left, -1 right) from beyond its one end to beyond the other."""
        line = side * (street.half_width + street.pavement + district.setback)
        at, built = -30.0, 0
        width = (choose := self._architect(built)).uniform(*district.widths)
        while at < street.length + 30.0:
            footprint = _footprint(street, side, at, width, line)
            if not _free(footprint, self._streets, self.buildings):
                at += 0.4
                continue
            taken = [b.shop for b in self.buildings[-20:]] if self._designs is None else []
            self.buildings.append(_house(choose, footprint, district, taken))
            if district.setback and 0 < at < street.length:
                self._plant_hedges(street, at, width, line - side * (district.setback - 0.5))
            at += width + district.gap
            built += 1
            width = (choose := self._architect(built)).uniform(*district.widths)

    def _architect(self, number: int) -> np.random.Generator:
        return self._rng if self._designs is None else np.random.default_rng(number % self._designs)

    def _plant_hedges(self, street: Street, at: float, width: float, fence: float) -> None:
        """Along the garden, with an opening for the path to the door."""
        door = at + 0.42 * width
        for start, end in ((at - 1.5, door), (door + 2.2, at + width + 1.5)):
            hedge = np.array([street.point(start, fence), street.point(end, fence)])
            if all((s.distance(hedge) > s.half_width + s.pavement - 0.2).all() for s in self._streets):
                self.hedges.append(hedge)


def _footprint(street: Street, side: int, at: float, width: float, line: float) -> np.ndarray:
    """(4, 2) counter-clockwise with the front first, whichever side of the street it is."""
    rear = line + side * _DEPTH
    corners = [(at, line), (at + width, line), (at + width, rear), (at, rear)]
    footprint = np.array([street.point(*corner) for corner in corners])
    return footprint if side > 0 else footprint[[1, 0, 3, 2]]


def _free(footprint: np.ndarray, streets: list[Street], buildings: list[Building]) -> bool:
    outline = np.concatenate(
        [np.linspace(a, b, 8) for a, b in zip(footprint, np.roll(footprint, -1, 0), strict=True)]
    )
    if any((s.distance(outline) < s.half_width + s.pavement - 0.05).any() for s in streets):
        return False
    nearby = [b for b in buildings if np.abs(b.footprint[0] - footprint[0]).max() < 50.0]
    return not any(_overlap(footprint, other.footprint) for other in nearby)


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Separating axis test of two convex polygons."""
    for polygon in (one, other):
        for edge in np.roll(polygon, -1, 0) - polygon:
            axis = np.array([edge[1], -edge[0]]) / np.linalg.norm(edge)
            a, b = one @ axis, other @ axis
            if a.max() < b.min() + 0.02 or b.max() < a.min() + 0.02:
                return False
    return True


def _house(
    rng: np.random.Generator, footprint: np.ndarray, district: District, taken: list[str | None]
) -> Building:
    def pick(options: Sequence[Option]) -> Option:
        return options[int(rng.integers(len(options)))]

    material = pick(district.materials)
    tint = rng.integers(-10, 11, 3)
    wall = np.clip(np.array(pick(WALLS[material])) + tint, 0, 255)
    trade = pick([name for name in SHOPS if name not in taken] or SHOPS)
    shop = trade if rng.random() < district.shops else None
    return Building(
        footprint=footprint,
        floors=int(rng.integers(district.floors[0], district.floors[1] + 1)),
        floor_height=float(rng.uniform(2.6, 2.8) if material == "timber" else rng.uniform(2.9, 3.4)),
        material=material,
        wall=tuple(int(c) for c in wall),  # type: ignore[arg-type]
        trim=pick(TRIMS),
        roof=pick(district.roofs),
        roof_colour=pick(ROOFS),
        shop=shop,
        shop_colour=pick(SIGNS),
        seed=int(rng.integers(1 << 31)),
    )
