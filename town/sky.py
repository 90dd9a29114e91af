"""The panorama behind the town: sky, clouds, hills and far roofs."""

from __future__ import annotations

import cv2
import numpy as np

from town.lighting import Light
from town.textures import noise, to_pixels

LOWEST, HIGHEST = np.radians(-12.0), np.radians(90.0)  # elevations of the picture's lower and upper edge


def panorama(light: Light, seed: int, size: tuple[int, int] = (4096, 1024)) -> np.ndarray:
    """(H, W, 3): columns are azimuth 0 to 2 pi (from east over north), rows elevation, highest first."""
    rng = np.random.default_rng([seed, 3])
    width, height = size
    elevation = np.linspace(HIGHEST, LOWEST, height, dtype=np.float32)[:, None]
    azimuth = np.linspace(0, 2 * np.pi, width, dtype=np.float32)[None]
    zenith, horizon = (np.array(c, np.float32) for c in (light.zenith, light.horizon))
    up = np.clip(np.sin(elevation), 0.0, 1.0) ** 0.55
    sky = horizon + (zenith - horizon) * up[..., None] + np.zeros((height, width, 1), np.float32)
    toward = np.cos(elevation) * np.cos(azimuth - light.sun_azimuth) * np.cos(light.sun_elevation)
    toward = np.clip(toward + np.sin(elevation) * np.sin(light.sun_elevation), 0.0, 1.0)
    sky += (toward[..., None] ** 12 * 40 + toward[..., None] ** 400 * 160) * np.array(
        (1.0, 0.9, 0.7), np.float32
    )
    sky += _clouds(rng, elevation, azimuth)[..., None] * (np.array(light.clouds, np.float32) - sky)
    for distance, level, tint in (
        (0.75, 5.2, (92, 112, 130)),
        (0.5, 3.2, (74, 98, 78)),
        (0.42, 1.3, (112, 96, 88)),
    ):
        ridge = level + (1.6 * _ring_noise(rng, width, 90) if level > 2 else 1.3 * _roofs(rng, width))
        dim = np.sqrt(np.array(light.sky, np.float32) + 0.5 * np.array(light.sun, np.float32))
        colour = horizon * distance + (1 - distance) * np.array(tint, np.float32) * dim
        sky = np.where((np.degrees(elevation) < ridge[None])[..., None], colour, sky)
    return to_pixels(sky)


def _clouds(rng: np.random.Generator, elevation: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Cover in [0, 1]: noise on a flat ceiling, so that clouds shrink towards the horizon."""
    far = 1.0 / np.tan(np.clip(elevation, np.radians(3.5), None))
    ceiling = noise(rng, (1024, 1024), 110, 5)
    rows, columns = (512 + 28 * far * f(azimuth) for f in (np.sin, np.cos))
    cover = cv2.remap(
        ceiling,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    fade = np.clip((np.degrees(elevation) - 3.5) / 9.0, 0.0, 1.0)
    return 0.92 * np.clip((cover - 0.25) * 0.75, 0.0, 1.0) * fade


def _ring_noise(rng: np.random.Generator, width: int, cell: int) -> np.ndarray:
    line = noise(rng, (1, width + width // 8), cell, 4)[0]
    mix = np.linspace(0, 1, width // 8)
    line[: width // 8] = line[: width // 8] * mix + line[width:] * (1 - mix)  # the two ends meet
    return line[:width]


def _roofs(rng: np.random.Generator, width: int) -> np.ndarray:
    """Outline of far gables, in degrees."""
    line, x = np.zeros(width), 0
    while x < width:
        w = int(rng.integers(25, 80))
        top, pitch = rng.uniform(0.2, 1.0), rng.uniform(0.0, 0.8)
        part = line[x : x + w]
        part[:] = top + pitch * (1 - np.abs(np.linspace(-1, 1, w)))[: len(part)]
        x += w
    return line
