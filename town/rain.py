"""Rain as a change of a rendered image: haze, a wet street that mirrors, streaks, and drops on the lens.

No depth is known, so that the haze is the same everywhere and the street mirrors whatever stands above it in
the picture. The horizon is taken to be in the middle, as it is for a level camera.
"""

from __future__ import annotations

import cv2
import numpy as np

_HAZE, _GREY = 0.3, 0.55  # share of haze, and its brightness relative to the image's brightest tenth
_MIRRORED = 0.35  # share of the mirror image at the lower border
_STREAKS = 1 / 400  # share of pixels at which a streak begins
_STREAK, _SLANT = 0.06, 0.15  # length as a share of the height, and its shift to the side
_STREAK_LIGHT = 0.35
_DROPS = 14
_DROP_RADIUS = (0.012, 0.05)  # shares of the height
_DROP_LENS = 2.5  # how much smaller the world is in a drop, upside down


def rainy(image: np.ndarray, seed: int) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB as a camera behind a wet pane sees it; the same seed, the same rain."""
    random = np.random.default_rng([seed, *image.shape])
    wet = _mirrored(image.astype(np.float32))
    bright = float(np.quantile(wet, 0.9))
    wet += _HAZE * (_GREY * bright - wet)
    wet = _with_streaks(wet, bright, random)
    return np.clip(_with_drops(wet, random), 0, 255).astype(np.uint8)


def _mirrored(image: np.ndarray) -> np.ndarray:
    height = len(image)
    horizon = height // 2
    below = height - horizon
    street = cv2.blur(image[:horizon][::-1][:below], (1, max(1, height // 16)))  # ripples blur upright lines
    share = np.linspace(0, _MIRRORED, len(street), dtype=np.float32)[:, None, None]
    result = 0.85 * image if below else image.copy()  # what is wet is darker
    result[:horizon] = image[:horizon]
    result[horizon : horizon + len(street)] += share * street
    return np.asarray(result)


def _with_streaks(image: np.ndarray, bright: float, random: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    length = max(3, round(_STREAK * height))
    line = np.zeros((length, length), np.float32)
    lean = round(_SLANT * length * random.uniform(-1, 1))
    cv2.line(line, (length // 2 - lean, 0), (length // 2 + lean, length - 1), 1.0)
    starts = (random.random((height, width)) < _STREAKS).astype(np.float32)
    starts *= random.uniform(0.3, 1.0, (height, width)).astype(np.float32)
    streaks = np.minimum(1.0, cv2.filter2D(starts, -1, line))
    return image + _STREAK_LIGHT * streaks[..., None] * (0.8 * max(bright, 40.0) - 0.4 * image)


def _with_drops(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each drop is a small lens: it shows its surroundings upside down and blurred."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    at_rows, at_columns, share = rows.copy(), columns.copy(), np.zeros((height, width), np.float32)
    for _ in range(_DROPS):
        x, y = random.uniform((0, 0), (width, height))
        radius = height * random.uniform(*_DROP_RADIUS)
        away = np.hypot(columns - x, 0.85 * (rows - y)) / radius
        inside = away < 1
        at_columns[inside] = x - _DROP_LENS * (columns[inside] - x)
        at_rows[inside] = y - _DROP_LENS * (rows[inside] - y)
        share = np.maximum(share, np.clip(4 * (1 - away), 0, 1))
    soft = cv2.GaussianBlur(image, (0, 0), height / 120)
    drops = cv2.remap(soft, at_columns, at_rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return image + share[..., None] * (drops - image)
