"""Roofs, cornices, chimneys and awnings on top of and in front of the walls."""

from __future__ import annotations

import numpy as np

from town.mesh import MeshBuilder
from town.plan import Building

EAVES = 0.4  # metres the roof stands out


class Block:
    """The walls that a roof stands on.

    Attributes
    ----------
    corners : (4, 2) metres, counter-clockwise from the left end of the front.
    right, back : (2,) unit vectors along the front and away from it.
    width, depth : metres, along the front and away from it.
    top : height of the eaves in metres.
    """

    def __init__(self, building: Building, tiles: MeshBuilder, plain: MeshBuilder) -> None:
        self.building, self.plain, self._tiles = building, plain, tiles
        self.corners, self.top = building.footprint, building.height
        a, b, _, d = self.corners
        self.width, self.depth = float(np.linalg.norm(b - a)), float(np.linalg.norm(d - a))
        self.right, self.back = (b - a) / self.width, (d - a) / self.depth
        self.yaw = float(np.arctan2(self.right[1], self.right[0]))

    def slope(self, *corners: np.ndarray) -> None:
        """Tiles on a part of the roof, whose first edge is its lower one."""
        width, height = (max(float(np.linalg.norm(corners[i] - corners[0])), 1.0) for i in (1, 3))
        uv = np.array([(0, 0), (width, 0), (width, height), (0, height)]) / 2.0
        self._tiles.quad(np.array(corners), uv, tint=self.building.roof_colour)

    def gable(self, left: np.ndarray, right: np.ndarray, ridge: np.ndarray, shade: float) -> None:
        """The triangle of wall below an end of the ridge."""
        tint = np.array(self.building.wall) * shade
        self.plain.quad(np.array([at(left, self.top), at(right, self.top), ridge, ridge]), tint=tint)


def at(point: np.ndarray, z: float) -> np.ndarray:
    return np.array([*point, z])


def add_roof(building: Building, tiles: MeshBuilder, plain: MeshBuilder) -> None:
    """Add the roof of a building and what belongs to it."""
    block = Block(building, tiles, plain)
    _ROOFS[building.roof](block)
    a, b, _, _ = block.corners
    _cornice(building, a, b, block.right, block.back, plain)
    if building.roof in ("gable", "mansard", "hip") and building.seed % 4:
        spot = a + (0.2 + 0.6 * (building.seed % 7) / 7) * (b - a) + 0.42 * block.depth * block.back
        plain.box(at(spot, block.top + 3.4), np.array((0.45, 0.35, 1.6)), block.yaw, (134, 82, 66))
    if building.shop and building.seed % 2:
        _awning(building, a, block.right, block.back, block.width, plain)


def _gable(block: Block) -> None:
    """The ridge runs along the front."""
    a, b, c, d = block.corners
    rise = 0.72 * block.depth / 2
    low, out = block.top - 0.72 * EAVES, EAVES * block.back
    left, right = at((a + d) / 2, block.top + rise), at((b + c) / 2, block.top + rise)
    block.slope(at(a - out, low), at(b - out, low), right, left)
    block.slope(at(c + out, low), at(d + out, low), left, right)
    block.gable(b, c, right, 0.9)
    block.gable(d, a, left, 0.9)


def _gable_front(block: Block) -> None:
    """The ridge runs away from the front, which has a gable with a window."""
    a, b, c, d = block.corners
    rise = 0.95 * block.width / 2
    low, out, fore = block.top - 0.95 * 0.25, 0.25 * block.right, 0.35 * block.back
    front, rear = at((a + b) / 2 - fore, block.top + rise), at((c + d) / 2, block.top + rise)
    block.slope(at(b + out - fore, low), at(c + out, low), rear, front)
    block.slope(at(d - out, low), at(a - out - fore, low), front, rear)
    block.gable(a, b, at((a + b) / 2, block.top + rise), 1.0)
    _attic(block.building, a, block.right, block.width, block.top, rise, block.plain)


def _hip(block: Block) -> None:
    """Four slopes that meet in a ridge along the longer side."""
    a, b, c, d = block.corners
    shorter = min(block.depth, block.width)
    rise = 9.0 if block.building.roof == "spire" else 0.32 * shorter
    is_wide = block.width >= block.depth
    along = block.right if is_wide else block.back
    first, last = ((a + d) / 2, (b + c) / 2) if is_wide else ((a + b) / 2, (c + d) / 2)
    start = at(first + shorter / 2 * along, block.top + rise)
    end = at(last - shorter / 2 * along, block.top + rise)
    right, back = block.right, block.back
    out = EAVES * np.array([-right - back, right - back, right + back, back - right])
    eaves = [at(corner, block.top - 0.15) for corner in block.corners + out]
    tops = [start, end, end, start] if is_wide else [start, start, end, end]
    for i, j in _EDGES:
        block.slope(eaves[i], eaves[j], tops[j], tops[i])


def _mansard(block: Block) -> None:
    """Steep slopes with dormers below a flat top."""
    right, back, plain = block.right, block.back, block.plain
    inset = 1.1 * np.array([right + back, back - right, -right - back, right - back])
    low = [at(corner, block.top) for corner in block.corners]
    high = [at(corner, block.top + 2.7) for corner in block.corners + inset]
    for i, j in _EDGES:
        block.slope(low[i], low[j], high[j], high[i])
    plain.quad(np.array(high), tint=(110, 110, 112))
    for x in np.arange(1.6, block.width - 1.2, 2.8):
        centre = at(block.corners[0] + x * right + 0.75 * back, block.top + 1.25)
        plain.box(centre, np.array((0.62, 0.6, 0.85)), block.yaw, block.building.trim)
        face = centre - 0.61 * at(back, 0.0)
        u, v = 0.42 * at(right, 0.0), np.array((0, 0, 0.58))
        plain.quad(np.array([face - u - v, face + u - v, face + u + v, face - u + v]), tint=(62, 74, 86))


def _flat(block: Block) -> None:
    block.plain.quad(np.array([at(corner, block.top) for corner in block.corners]), tint=(120, 118, 114))


_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0))
_ROOFS = {
    "flat": _flat,
    "gable": _gable,
    "gable_front": _gable_front,
    "hip": _hip,
    "mansard": _mansard,
    "spire": _hip,
}


def _cornice(
    building: Building, a: np.ndarray, b: np.ndarray, right: np.ndarray, back: np.ndarray, plain: MeshBuilder
) -> None:
    if building.roof not in ("flat", "mansard"):
        return
    height, out = 0.35, 0.32
    centre = np.array([*((a + b) / 2 - out / 2 * back), building.height - 0.1])
    half = np.array([float(np.linalg.norm(b - a)) / 2, out / 2 + 0.02, height / 2])
    plain.box(centre, half, float(np.arctan2(right[1], right[0])), building.trim)


def _attic(
    building: Building,
    a: np.ndarray,
    right: np.ndarray,
    width: float,
    top: float,
    rise: float,
    plain: MeshBuilder,
) -> None:
    """A window and beams in a front gable, a hair before the wall."""
    outward = 0.03 * np.array([right[1], -right[0]])

    def patch(x: float, z: float, w: float, h: float, tint: object) -> None:
        p, q = a + x * right + outward, a + (x + w) * right + outward
        plain.quad(np.array([(*p, z), (*q, z), (*q, z + h), (*p, z + h)]), tint=tint)

    beam = ((74, 48, 34), (52, 40, 36), (110, 44, 34))[building.seed % 3]
    if building.material == "timber":
        patch(0.12 * width, top + 0.06, 0.76 * width, 0.2, beam)
        patch(0.3 * width, top + 0.52 * rise, 0.4 * width, 0.18, beam)
        patch(width / 2 - 0.09, top + 0.52 * rise, 0.18, 0.42 * rise, beam)
    patch(width / 2 - 0.55, top + 0.1 * rise + 0.2, 1.1, 0.34 * rise, (238, 236, 230))
    outward = 1.6 * outward
    patch(width / 2 - 0.45, top + 0.1 * rise + 0.3, 0.9, 0.34 * rise - 0.2, (66, 80, 94))


def _awning(
    building: Building, a: np.ndarray, right: np.ndarray, back: np.ndarray, width: float, plain: MeshBuilder
) -> None:
    """Striped canvas over a shop window."""
    high, low = min(building.floor_height, 3.1) - 0.66, min(building.floor_height, 3.1) - 1.1
    stripes = max(int(width / 0.55), 3)
    edges = np.linspace(0.3, width - 0.3, stripes + 1)
    for i in range(stripes):
        p, q = a + edges[i] * right, a + edges[i + 1] * right
        out = -1.0 * back
        tint = building.shop_colour if i % 2 else (240, 236, 226)
        plain.quad(np.array([(*(p + out), low), (*(q + out), low), (*q, high), (*p, high)]), tint=tint)
        plain.quad(
            np.array(
                [(*(p + out), low - 0.2), (*(q + out), low - 0.2), (*(q + out), low), (*(p + out), low)]
            ),
            tint=tint,
        )
