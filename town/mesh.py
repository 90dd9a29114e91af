"""Textured triangles, collected until they are handed to a renderer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from town.lighting import Illumination

CELL = (
    2.5  # metres; the rasterizer's perspective is only exact at vertices, so large faces are cut into cells
)


@dataclass(frozen=True)
class Mesh:
    """Triangles that share one texture.

    Attributes
    ----------
    vertices, uv, colours : (N, 3) metres in the map frame; (N, 2) with v upwards; (N, 3) factors on the
        texture in [0, 1].
    triangles : (M, 3) vertex indices, visible from both sides.
    texture : (H, W, 3 or 4) uint8, sides powers of two.
    smooth : interpolate between the texture's pixels (costs time): for what is seen from very near.
    """

    vertices: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray
    smooth: bool = False


@dataclass(frozen=True)
class Billboard:
    """An upright picture that turns to the camera: (H, W, 4) `texture`, foot at `position` (3,), metres."""

    position: np.ndarray
    width: float
    height: float
    colour: np.ndarray
    texture: np.ndarray


@dataclass
class MeshBuilder:
    """Collects quadrilaterals of one texture; lit by `finish`."""

    texture: np.ndarray
    smooth: bool = False
    _parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def quad(
        self, corners: np.ndarray, uv: ArrayLike | None = None, tint: object = 255, lit: bool = True
    ) -> None:
        """Add a (4, 3) quadrilateral, counter-clockwise seen from outside; `tint` is a pixel colour."""
        corners = np.asarray(corners, float)
        uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float) if uv is None else np.asarray(uv, float)
        a, b, c, d = corners
        columns = max(int(np.ceil(max(np.linalg.norm(b - a), np.linalg.norm(c - d)) / CELL)), 1)
        rows = max(int(np.ceil(max(np.linalg.norm(d - a), np.linalg.norm(c - b)) / CELL)), 1)
        s, t = (
            g.ravel()[:, None]
            for g in np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
        )
        weights = np.hstack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t])
        normal = np.cross(c - a, d - b)
        normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
        first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
        across = first + columns + 1
        triangles = np.concatenate(
            [np.stack([first, first + 1, across + 1], 1), np.stack([first, across + 1, across], 1)]
        )
        vertices = weights @ corners
        count = len(vertices)
        normals = np.tile(normal, (count, 1))
        tints = np.tile(np.asarray(tint, float) / 255 * np.ones(3), (count, 1))
        self._parts.append((vertices, weights @ uv, normals, tints, np.full(count, lit), triangles))

    def box(self, centre: np.ndarray, half: np.ndarray, yaw: float, tint: object, lit: bool = True) -> None:
        """A box standing upright, without its bottom; `half` are half sizes along its own axes."""
        c, s = np.cos(yaw), np.sin(yaw)
        axes = np.array([(c, s, 0), (-s, c, 0), (0, 0, 1)]) * np.asarray(half, float)[:, None]
        ring = [centre + a * axes[0] + b * axes[1] - axes[2] for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
        top = [corner + 2 * axes[2] for corner in ring]
        self.quad(np.array(top), tint=tint, lit=lit)
        for i in range(4):
            j = (i + 1) % 4
            self.quad(np.array([ring[i], ring[j], top[j], top[i]]), tint=tint, lit=lit)

    @property
    def empty(self) -> bool:
        return not self._parts

    def finish(self, illumination: Illumination) -> Mesh:
        vertices, uv, normals, tints, lit, _ = (np.concatenate(column) for column in zip(*self._parts))
        starts = np.cumsum([0] + [len(part[0]) for part in self._parts])
        triangles = np.concatenate([part[-1] + start for part, start in zip(self._parts, starts)])
        factor = np.where(lit[:, None], illumination.factor(vertices, normals), 1.0)
        return Mesh(vertices, uv, np.clip(tints * factor, 0, 1), triangles, self.texture, self.smooth)
