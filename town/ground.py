"""Roads, pavements and lawns, painted from above tile by tile."""

from __future__ import annotations

import numpy as np

from town.lighting import Light
from town.plan import Street, kerb_distance
from town.textures import noise, to_pixels
from town.town import Town

TILE = 25.6  # metres
BORDER = 0.4  # metres of a tile that its neighbours repeat, so that filtered edges do not show
STRIDE = TILE - 2 * BORDER  # metres from one tile to the next
PIXELS = 512  # 5 cm each, where a street is near
NEAR = 14.0  # metres from the kerb: farther ground is never seen from close by
CROSSWALK = (2.0, 4.6)  # metres before a crossing's mouth


class GroundPainter:
    """Paints square tiles of the ground plane of a town in the season of a light."""

    def __init__(self, town: Town, light: Light) -> None:
        self._town = town
        self._light = light
        rng = np.random.default_rng([town.seed, 1])
        self._grain = noise(rng, (PIXELS, PIXELS), 3, 2)
        self._blotches = noise(rng, (PIXELS, PIXELS), 60, 3)
        self._wide = noise(rng, (1024, 1024), 24, 3)

    def points(self, x0: float, y0: float, count: int) -> np.ndarray:
        """(count, count, 2) map points of a tile's pixels, northernmost row first."""
        step = (np.arange(count) + 0.5) * TILE / count
        x, y = np.meshgrid(x0 + step, y0 + TILE - step)
        return np.stack([x, y], axis=-1)

    def tile(self, x0: float, y0: float) -> np.ndarray:
        """(n, n, 3) colours of the tile whose south-west corner is given; small where no street is near."""
        centre = np.array((x0, y0)) + TILE / 2
        streets = [s for s in self._town.streets if s.distance(centre) - s.half_width < NEAR + 0.71 * TILE]
        if not streets:
            return self._lawn(self.points(x0, y0, 64), 64)
        points = self.points(x0, y0, PIXELS)
        kerb = kerb_distance(streets, points)
        distances = np.stack([s.distance(points) - s.half_width for s in streets])
        nearest = distances.argmin(0)
        image = self._lawn(points, PIXELS).astype(np.float32)
        for index in np.unique(nearest):
            street, mine = streets[index], nearest == index
            others = np.delete(distances, index, axis=0).min(0, initial=1e3)
            self._pavement(image, street, points, kerb, mine)
            self._carriageway(image, street, points, kerb, others, mine)
        self._snow(image, kerb > -0.4)
        gutter = (kerb < 0) & (kerb > -0.28)
        image[gutter] *= 0.84
        return to_pixels(image)

    def _lawn(self, points: np.ndarray, count: int) -> np.ndarray:
        broad = self._wide[(points[..., 1] * 4).astype(int) % 1024, (points[..., 0] * 4).astype(int) % 1024]
        value = 1.0 + 0.09 * broad + 0.10 * self._grain[:count, :count]
        green = np.array((104, 118, 70), np.float32) * np.array(self._light.leaves, np.float32)
        lawn = value[..., None] * green
        self._snow(lawn, np.ones(lawn.shape[:2], bool))
        return to_pixels(lawn)

    def _snow(self, image: np.ndarray, where: np.ndarray) -> None:
        """Cover patches of the image in place, as if trodden through here and there."""
        if not self._light.snow:
            return
        count = len(image)
        deep = self._blotches[:count, :count] + 0.3 * self._grain[:count, :count]
        where = where & (deep < np.quantile(deep, self._light.snow))
        image[where] = (228, 232, 240) + 6.0 * self._grain[:count, :count][where][:, None]

    def _pavement(
        self, image: np.ndarray, street: Street, points: np.ndarray, kerb: np.ndarray, mine: np.ndarray
    ) -> None:
        across = street.local(points)[1]
        yards = [
            3.0 if district and not district.setback else 0.0 for district in (street.left, street.right)
        ]
        side = np.where(across > 0, *yards)  # paved up to the walls, but front gardens are green
        paved = mine & (kerb >= 0) & (kerb < street.pavement + side)
        along, left = (c[paved] for c in street.local(points))
        slab = 0.5 if street.pavement > 3 else 0.4
        column, row = np.floor(along / slab), np.floor(left / slab)
        tone = 1.0 + 0.05 * np.sin(column * 12.9898 + row * 78.233) * np.cos(column * 39.3 - row * 11.1)
        joint = (along / slab - column < 0.07) | (left / slab - row < 0.07)
        tone = np.where(joint, tone * 0.82, tone) * (
            1 + 0.04 * self._blotches[paved] + 0.03 * self._grain[paved]
        )
        base = (176, 170, 162) if len(street.name) % 2 else (164, 166, 168)
        if street.surface == "cobbles":
            base = (150, 138, 124)
        image[paved] = tone[:, None] * np.array(base, np.float32)

    def _carriageway(
        self,
        image: np.ndarray,
        street: Street,
        points: np.ndarray,
        kerb: np.ndarray,
        others: np.ndarray,
        mine: np.ndarray,
    ) -> None:
        road = mine & (kerb < 0)
        along, left = (c[road] for c in street.local(points))
        tone = 1.0 + 0.055 * self._blotches[road] + 0.05 * self._grain[road]
        if street.surface == "cobbles":
            image[road] = _cobbles(along, left, tone)
            return
        colour = _asphalt(along, left, tone, len(street.name))
        worn = (self._grain[road] + 1.6 * self._blotches[road]) < 1.9
        painted = worn & _paint(street, along, left, others[road])
        colour[painted] = 0.78 * np.array((236, 236, 228)) + 0.22 * colour[painted]
        for cover in np.arange(7.0, street.length, 17.0):  # manholes
            ring = np.hypot(along - cover, left + 1.1 * np.sin(cover * 7.0) * 1.5)
            colour[ring < 0.33] = (74, 72, 70)
            colour[(ring < 0.38) & (ring >= 0.33)] = (56, 56, 56)
        image[road] = colour


def _cobbles(along: np.ndarray, left: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(N, 3) colours of points given by metres along a street and left of its middle."""
    row = np.floor(along / 0.22)
    column = np.floor(left / 0.3 + 0.5 * (row % 2))
    joint = (along / 0.22 - row < 0.2) | (left / 0.3 + 0.5 * (row % 2) - column < 0.17)
    tone = tone * np.where(joint, 0.66, 1.0 + 0.14 * np.sin(row * 127.1 + column * 311.7))
    return tone[:, None] * np.array((128, 120, 112), np.float32)


def _asphalt(along: np.ndarray, left: np.ndarray, tone: np.ndarray, variant: int) -> np.ndarray:
    """(N, 3) colours, with patches of newer asphalt and lanes that wheels have darkened."""
    patch = np.sin(np.floor(along / 5.3) * 91.7 + np.floor(left / 2.6) * 47.3 + variant) > 0.86
    tone = np.where(patch, tone * 0.80, tone)
    for centre in (-2.6, -1.0, 1.0, 2.6):
        tone = tone * (1.0 - 0.05 * np.exp(-(((left - centre) / 0.3) ** 2)))
    return tone[:, None] * np.array((104, 104, 108), np.float32)


def _paint(street: Street, along: np.ndarray, left: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """(N,) bool: middle line, bays, zebra crossings, stop lines; `mouth` is metres to the crossing."""
    paint = (np.abs(left) < 0.07) & (along % 6.0 < 3.0) & (mouth > CROSSWALK[1] + 2.5)
    bay = street.half_width - 2.1
    if street.parking > 0.4:
        ends = (np.abs(left) > bay) & ((along - 15.0 + 2.9) % 5.8 < 0.1)
        edge = (np.abs(np.abs(left) - bay) < 0.05) | ends
        paint |= edge & (mouth > CROSSWALK[1] + 3.0)
    stripe = (left % 1.0 < 0.5) & (np.abs(left) < street.half_width - 0.3)
    zebra = (mouth > CROSSWALK[0]) & (mouth < CROSSWALK[1]) & stripe
    paint |= zebra & (along > 0) & (along < street.length)
    lane = np.where(along < street.length / 2, left > 0, left < 0)  # traffic drives on the right
    paint |= lane & (mouth > CROSSWALK[1] + 0.8) & (mouth < CROSSWALK[1] + 1.2) & (np.abs(left) < bay)
    return paint
