"""A street of random house fronts, seen from a camera that drives along it and looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 160, 120
_PIXELS_PER_METRE = 8


def street(seed: int, metres: int) -> np.ndarray:
    """Paint the fronts, uint8 RGB (HEIGHT, pixels, 3), long enough for views from 0 to `metres`."""
    random = np.random.default_rng(seed)
    length = metres * _PIXELS_PER_METRE + WIDTH
    fronts = np.full((HEIGHT, length, 3), 128, np.uint8)
    for size in (60, 24, 10):
        for _ in range(8 * length // size):
            x, y = random.integers(-size, length), random.integers(-size, HEIGHT)
            w, h = random.integers(size // 3, size, 2)
            colour = random.integers(0, 256, 3).tolist()
            if random.random() < 0.5:
                cv2.rectangle(fronts, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
            else:
                cv2.ellipse(fronts, (int(x), int(y)), (int(w // 2), int(h // 2)), 0, 0, 360, colour, -1)
    return fronts


def view(fronts: np.ndarray, x: float, gain: float = 1.0) -> np.ndarray:
    """Take an image, uint8 RGB (HEIGHT, WIDTH, 3), at x metres, in brighter or darker light."""
    start = round(x * _PIXELS_PER_METRE)
    return np.clip(fronts[:, start : start + WIDTH] * gain, 0, 255).astype(np.uint8)


def write_view(path: Path, fronts: np.ndarray, x: float) -> None:
    """Write one view as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), view(fronts, x)[..., ::-1])


def write_catalogue(
    folder: Path, fronts: np.ndarray, positions: Iterable[float], first_x: float = 0.0, gain: float = 1.0
) -> Path:
    """Write views as PNG files with a catalogue that places the start of the street at x = first_x."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,x,y,yaw,stamp"]
    for index, x in enumerate(positions):
        name = f"{index:03d}.png"
        cv2.imwrite(str(folder / name), view(fronts, x, gain)[..., ::-1])
        rows.append(f"{name},{first_x + x},0,0,{100 + index}")
    catalogue = folder / "catalogue.csv"
    catalogue.write_text("\n".join(rows) + "\n")
    return catalogue
