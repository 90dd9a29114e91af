"""Roofs, cornices, chimneys and awnings on top of and in front of the walls."""

from __future__ import annotations

import numpy as np

from town.mesh import MeshBuilder
from town.plan import Building

EAVES = 0.4  # metres the roof stands out


def add_roof(building: Building, tiles: MeshBuilder, plain: MeshBuilder) -> None:
    a, b, c, d = building.footprint  # front is a-b
    right, back = (b - a) / np.linalg.norm(b - a), (d - a) / np.linalg.norm(d - a)
    depth, width, top = float(np.linalg.norm(d - a)), float(np.linalg.norm(b - a)), building.height
    colour = building.roof_colour

    def slope(*corners: np.ndarray) -> None:
        size = (
            max(float(np.linalg.norm(corners[1] - corners[0])), 1.0),
            max(float(np.linalg.norm(corners[3] - corners[0])), 1.0),
        )
        uv = np.array([(0, 0), (size[0], 0), (size[0], size[1]), (0, size[1])]) / 2.0
        tiles.quad(np.array(corners), uv, tint=colour)

    def at(point: np.ndarray, z: float) -> np.ndarray:
        return np.array([*point, z])

    if building.roof == "gable":
        rise = 0.72 * depth / 2
        low, out = top - 0.72 * EAVES, EAVES * back
        ridge = at((a + d) / 2, top + rise), at((b + c) / 2, top + rise)
        slope(at(a - out, low), at(b - out, low), ridge[1], ridge[0])
        slope(at(c + out, low), at(d + out, low), ridge[0], ridge[1])
        plain.quad(np.array([at(b, top), at(c, top), ridge[1], ridge[1]]), tint=np.array(building.wall) * 0.9)
        plain.quad(np.array([at(d, top), at(a, top), ridge[0], ridge[0]]), tint=np.array(building.wall) * 0.9)
    elif building.roof == "gable_front":
        rise = 0.95 * width / 2
        low, out, fore = top - 0.95 * 0.25, 0.25 * right, 0.35 * back
        ridge = at((a + b) / 2 - fore, top + rise), at((c + d) / 2, top + rise)
        slope(at(b + out - fore, low), at(c + out, low), ridge[1], ridge[0])
        slope(at(d - out, low), at(a - out - fore, low), ridge[0], ridge[1])
        plain.quad(
            np.array([at(a, top), at(b, top), at((a + b) / 2, top + rise), at((a + b) / 2, top + rise)]),
            tint=building.wall,
        )
        _attic(building, a, right, width, top, rise, plain)
    elif building.roof in ("hip", "spire"):
        rise = 9.0 if building.roof == "spire" else 0.32 * min(depth, width)
        inset = min(depth, width) / 2
        long_front = width >= depth
        u = right if long_front else back
        first = (a + d) / 2 if long_front else (a + b) / 2
        last = (b + c) / 2 if long_front else (c + d) / 2
        ends = at(first + inset * u, top + rise), at(last - inset * u, top + rise)
        out = EAVES * np.array([-right - back, right - back, right + back, back - right])
        eaves = [at(p + o, top - 0.15) for p, o in zip((a, b, c, d), out)]
        tops = [ends[0], ends[1], ends[1], ends[0]] if long_front else [ends[0], ends[0], ends[1], ends[1]]
        for i in range(4):
            j = (i + 1) % 4
            slope(eaves[i], eaves[j], tops[j], tops[i])
    elif building.roof == "mansard":
        inset = 1.1
        inner = [
            a + inset * (right + back),
            b + inset * (back - right),
            c - inset * (right + back),
            d + inset * (right - back),
        ]
        for i in range(4):
            j = (i + 1) % 4
            corners = (a, b, c, d)
            slope(at(corners[i], top), at(corners[j], top), at(inner[j], top + 2.7), at(inner[i], top + 2.7))
        plain.quad(np.array([at(p, top + 2.7) for p in inner]), tint=(110, 110, 112))
        for x in np.arange(1.6, width - 1.2, 2.8):  # dormers
            centre = at(a + x * right + 0.75 * back, top + 1.25)
            yaw = float(np.arctan2(right[1], right[0]))
            plain.box(centre, np.array((0.62, 0.6, 0.85)), yaw, building.trim)
            face = centre - 0.61 * at(back, 0.0)
            u, v = 0.42 * at(right, 0.0), np.array((0, 0, 0.58))
            plain.quad(np.array([face - u - v, face + u - v, face + u + v, face - u + v]), tint=(62, 74, 86))
    else:
        plain.quad(np.array([at(p, top) for p in (a, b, c, d)]), tint=(120, 118, 114))
    _cornice(building, a, b, right, back, plain)
    if building.roof in ("gable", "mansard", "hip") and building.seed % 4:
        spot = a + (0.2 + 0.6 * (building.seed % 7) / 7) * (b - a) + 0.42 * depth * back
        plain.box(
            at(spot, top + 3.4),
            np.array((0.45, 0.35, 1.6)),
            float(np.arctan2(right[1], right[0])),
            (134, 82, 66),
        )
    if building.shop and building.seed % 2:
        _awning(building, a, right, back, width, plain)


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
