"""Times of day and seasons, and how bright any point of the town is then.

Light is baked: the software rasterizer only multiplies texture and vertex colour. Colours are squares of
pixel values here (gamma 2), so a factor on a pixel is the square root of the irradiance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from town.furniture import CAR_LENGTH
from town.plan import Thing
from town.town import Town

CELL = 0.25  # metres, of the height map that casts the shadows
LAMP_HEIGHT = 4.6
_GLOW = 16.0  # metres that a lamp's light reaches


@dataclass(frozen=True)
class Light:
    """A time of day and year; colours are linear RGB, angles radians in the map frame."""

    name: str
    sun_azimuth: float
    sun_elevation: float
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]  # ambient
    zenith: tuple[int, int, int]  # pixel colours of the sky
    horizon: tuple[int, int, int]
    clouds: tuple[int, int, int]
    lamps: float = 0.0
    lit_windows: float = 0.0  # share of windows with light behind them
    leaves: tuple[float, float, float] = (1.0, 1.0, 1.0)  # pixel colours of what grows, relative to summer
    snow: float = 0.0  # share of the ground beside the carriageway that it covers

    @property
    def to_sun(self) -> np.ndarray:
        flat = np.cos(self.sun_elevation)
        direction = (
            flat * np.cos(self.sun_azimuth),
            flat * np.sin(self.sun_azimuth),
            np.sin(self.sun_elevation),
        )
        return np.array(direction, np.float32)


LIGHTS = {
    "noon": Light("noon", np.radians(-70), np.radians(52), (0.80, 0.76, 0.68), (0.36, 0.38, 0.42),
                  (70, 128, 208), (196, 220, 240), (250, 250, 252)),
    "evening": Light("evening", np.radians(163), np.radians(11), (0.52, 0.27, 0.12), (0.13, 0.14, 0.20),
                     (40, 52, 104), (244, 170, 112), (196, 124, 122), lamps=1.0, lit_windows=0.4),
    "morning": Light("morning", np.radians(20), np.radians(17), (0.62, 0.50, 0.36), (0.24, 0.27, 0.34),
                     (112, 150, 206), (238, 222, 196), (240, 226, 214)),
    "overcast": Light("overcast", np.radians(-70), np.radians(52), (0.04, 0.04, 0.04), (0.40, 0.42, 0.44),
                      (150, 158, 168), (196, 200, 204), (176, 180, 186)),
    "dusk": Light("dusk", np.radians(170), np.radians(5), (0.05, 0.03, 0.03), (0.08, 0.10, 0.16),
                  (22, 32, 70), (118, 98, 110), (60, 62, 86), lamps=1.0, lit_windows=0.6),
    "night": Light("night", np.radians(170), np.radians(5), (0.0, 0.0, 0.0), (0.016, 0.018, 0.026),
                   (6, 8, 18), (34, 30, 34), (20, 20, 28), lamps=1.0, lit_windows=0.5),
    "autumn": Light("autumn", np.radians(-40), np.radians(24), (0.66, 0.56, 0.42), (0.30, 0.32, 0.36),
                    (104, 142, 196), (216, 220, 222), (236, 234, 232), leaves=(1.45, 0.90, 0.45)),
    "winter": Light("winter", np.radians(-60), np.radians(14), (0.36, 0.35, 0.34), (0.36, 0.38, 0.43),
                    (142, 158, 182), (210, 214, 220), (196, 202, 212), leaves=(1.0, 0.88, 0.90), snow=0.8),
}  # fmt: skip


class Illumination:
    """Irradiance anywhere in `town` under `light`."""

    def __init__(self, town: Town, light: Light) -> None:
        self.light = light
        self._origin = np.array(town.bounds[:2], np.float32)
        size = (np.array(town.bounds[2:]) - town.bounds[:2]) / CELL
        self._heights = np.zeros((int(size[1]), int(size[0])), np.float32)
        for building in town.buildings:
            self._stamp(building.footprint, building.height + (1.5 if building.roof == "gable" else 0.4))
        for tree in town.trees:
            self._disc(tree, 0.3 * tree.size, tree.size * 0.85)
        for car in town.cars:
            forward = np.array([np.cos(car.yaw), np.sin(car.yaw)]) * CAR_LENGTH / 2
            left = 0.85 * np.array([-np.sin(car.yaw), np.cos(car.yaw)])
            corners = [car.position + a * forward + b * left for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
            self._stamp(np.array(corners), 1.3)
        # Whatever rises above the ground hides part of the sky from the ground beside it.
        walls = np.minimum(self._heights, 6.0) / 6.0
        self._openness = 1.0 - 0.55 * cv2.GaussianBlur(walls, (0, 0), 1.6 / CELL)
        self._lamps = np.array([lamp_head(lamp) for lamp in town.lamps], np.float32)

    def factor(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """What to multiply pixel values with, (N, 3), at `points` (N, 3) facing `normals` (N, 3)."""
        points, normals = points.astype(np.float32), normals.astype(np.float32)
        light, to_sun = self.light, self.light.to_sun
        facing = np.clip(normals @ to_sun, 0.0, None) * (1.0 - self._shadow(points + 0.15 * normals))
        open_sky = (0.72 + 0.28 * normals[:, 2]) * self._lookup(
            self._openness, points[:, :2] + 0.5 * normals[:, :2]
        )
        result = open_sky[:, None] * np.array(light.sky, np.float32) + facing[:, None] * np.array(
            light.sun, np.float32
        )
        if light.lamps:
            glow = np.zeros(len(points), np.float32)
            flat, lamps = points[:, :2], self._lamps
            is_near = (lamps[:, :2] > flat.min(axis=0) - _GLOW) & (lamps[:, :2] < flat.max(axis=0) + _GLOW)
            for lamp in lamps[is_near.all(axis=1)]:
                near = np.flatnonzero(np.abs(flat - lamp[:2]).max(1) < _GLOW)
                toward = lamp - points[near]
                square = (toward**2).sum(1)
                incidence = np.clip((toward * normals[near]).sum(1) / np.sqrt(square), 0.0, None)
                glow[near] += 11.0 * incidence / (1.5 + square) * np.clip(1.3 - square / 256.0, 0.0, 1.0)
            result = result + light.lamps * glow[:, None] * np.array((1.0, 0.74, 0.42), np.float32)
        return np.sqrt(result)

    def _shadow(self, points: np.ndarray) -> np.ndarray:
        """March from each point to the sun over the height map: 1 where something stands in between."""
        level = np.linalg.norm(self.light.to_sun[:2])
        step, rise = self.light.to_sun[:2] / level, self.light.to_sun[2] / level
        flat, height = np.ascontiguousarray(points[:, :2].T).T, np.ascontiguousarray(points[:, 2])
        excess = np.full(len(points), -np.inf, np.float32)  # metres by which something rises above the ray
        distances = np.concatenate([np.arange(0.3, 6.0, 0.3), np.arange(6.0, min(25.0 / rise, 70.0), 0.8)])
        for distance in distances.astype(np.float32):
            rising = self._lookup(self._heights, flat + distance * step)
            np.maximum(excess, rising - height - distance * rise, out=excess)
        return (excess / 0.25).clip(0.0, 1.0)

    def _lookup(self, field: np.ndarray, flat: np.ndarray) -> np.ndarray:
        column, row = ((flat.T - self._origin[:, None]) / CELL).astype(np.int32)
        height, width = field.shape
        return field.ravel().take(row.clip(0, height - 1) * width + column.clip(0, width - 1))

    def _stamp(self, outline: np.ndarray, height: float) -> None:
        mask = np.zeros_like(self._heights, np.uint8)
        cv2.fillConvexPoly(mask, np.round((outline - self._origin) / CELL).astype(np.int32), 1)
        self._heights[(mask > 0) & (self._heights < height)] = height

    def _disc(self, tree: Thing, radius: float, height: float) -> None:
        turn = np.linspace(0, 2 * np.pi, 13)[:-1]
        ragged = radius * (1.0 + 0.25 * np.sin(3 * turn + tree.variant))
        self._stamp(tree.position + ragged[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1), height)


def lamp_head(lamp: Thing) -> tuple[float, float, float]:
    reach = 1.1
    return (
        lamp.position[0] + reach * np.cos(lamp.yaw),
        lamp.position[1] + reach * np.sin(lamp.yaw),
        LAMP_HEIGHT,
    )
