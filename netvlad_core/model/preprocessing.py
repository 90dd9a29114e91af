"""Resizing and normalisation of images, and which images can be described; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.images import refuse_odd_size
from netvlad_core.errors import ImageError

# Smaller images leave a single cell of the feature map, or none.
_SMALLEST_SIDE = 16
_LARGEST_SIDE = 8192
# Activations of a large network take a kilobyte a pixel.
_MOST_PIXELS = 2**23
# Each rule in words, and how many sides it needs.
_RULES = {
    "keep": ("size kept", 0),
    "shorter": ("shorter side {} pixels", 1),
    "limit": ("longer side at most {} pixels", 1),
    "exact": ("exactly {}x{}", 2),
    "multiple": ("sides rounded to multiples of {} pixels", 1),
}
_FILTERS = ("antialias", "antialias-unrounded", "bicubic", "bilinear", "area")


@dataclass(frozen=True)
class Preprocessing:
    """The network's input as a function of the image.

    Attributes
    ----------
    resize : "keep" leaves the image as it is; "shorter" scales it, aspect kept, to a shorter side of size[0];
        "limit" shrinks it, aspect kept, to a longer side of at most size[0]; "exact" scales it to a height of
        size[0] and a width of size[1]; "multiple" scales each side to the nearest multiple of size[0].
    size : pixels.
    mean, std : by RGB channel, in units of 0 to 255: the network sees (image - mean) / std.
    filter : "antialias" (bilinear, widened when shrinking, as in Pillow), "antialias-unrounded" (the same,
        not rounded to whole grey levels), "bicubic" (likewise, of cubic pieces), "bilinear" (of the four
        nearest pixels, whatever the scale) or "area" (mean over the area; for shrinking).
    """

    resize: str
    size: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    filter: str = "antialias"

    def __post_init__(self) -> None:
        if self.resize not in _RULES or len(self.size) != _RULES[self.resize][1]:
            raise ValueError(f"there is no rule {self.resize!r} with the size {self.size}")
        smallest = 1 if self.resize == "multiple" else _SMALLEST_SIDE
        if not all(isinstance(n, int) and smallest <= n <= _LARGEST_SIDE for n in self.size):
            raise ValueError(f"expected sides of {smallest} to {_LARGEST_SIDE} pixels; found {self.size}")
        if self.filter not in _FILTERS or (self.filter == "area" and self.resize not in ("keep", "limit")):
            raise ValueError(f"there is no filter {self.filter!r} for the rule {self.resize!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, self.mean + self.std)):
            raise ValueError(f"expected three means and deviations; found {self.mean} and {self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"expected deviations above 0; found {self.std}")

    def __str__(self) -> str:
        """For display: `exactly 480x640, minus (124, 116, 104), over (58.4, 57.1, 57.4)`."""
        scaled = _RULES[self.resize][0].format(*self.size)
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"{scaled}, minus ({mean}), over ({std})"


def scaled_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width in pixels after the resizing; raises ImageError if that is too many pixels."""
    if preprocessing.resize == "exact":
        return preprocessing.size[0], preprocessing.size[1]
    if preprocessing.resize == "multiple":
        step = preprocessing.size[0]
        return _allowed(height, width, [max(1, round(side / step)) * step for side in (height, width)])
    scale = 1.0
    if preprocessing.resize == "shorter":
        scale = preprocessing.size[0] / min(height, width)
    elif preprocessing.resize == "limit":
        scale = min(1.0, preprocessing.size[0] / max(height, width))
    # A long and narrow image keeps enough pixels for one cell of the feature map.
    return _allowed(height, width, [max(_SMALLEST_SIDE, round(side * scale)) for side in (height, width)])


def _allowed(height: int, width: int, scaled: Sequence[int]) -> tuple[int, int]:
    if math.prod(scaled) > _MOST_PIXELS:
        raise ImageError(
            f"an image of {width}x{height} pixels is described at {scaled[1]}x{scaled[0]}; expected at most "
            f"{_MOST_PIXELS // 10**6} million pixels, make it smaller",
            "image too large",
        )
    return scaled[0], scaled[1]


def resize(images: Sequence[np.ndarray], preprocessing: Preprocessing) -> np.ndarray:
    """Scale images of one size as torch does on the CPU, to the same pixels within one grey level.

    B arrays (H, W, 3) uint8 RGB become (B, h, w, 3) uint8, or float32 by a filter that does not round. OpenCV
    has no antialiased filter, but for halves and thirds one can be made of those it has. By the rule "exact",
    that of other projects' networks, the pixels are Pillow's own.
    """
    source_height, source_width = images[0].shape[:2]
    height, width = scaled_size(source_height, source_width, preprocessing)
    if (height, width) == images[0].shape[:2]:
        return np.stack(images)
    if preprocessing.filter == "bilinear":
        import cv2

        return np.stack([cv2.resize(image.astype(np.float32), (width, height)) for image in images])
    if preprocessing.filter == "area":
        rows, columns = area_weights(source_height, height), area_weights(source_width, width)
        return (rows @ np.stack(images).transpose(0, 3, 1, 2) @ columns.T).transpose(0, 2, 3, 1)
    from PIL import Image

    kind = Image.Resampling.BICUBIC if preprocessing.filter == "bicubic" else Image.Resampling.BILINEAR

    def scaled(image: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(image).resize((width, height), kind))

    if preprocessing.filter == "antialias":
        factors = () if preprocessing.resize == "exact" else (2, 3)
        factor = next((f for f in factors if (f * height, f * width) == images[0].shape[:2]), None)
        return np.stack([scaled(image) if factor is None else _shrunk(image, factor) for image in images])
    # Pillow has no colour images of floats, so each channel is scaled by itself.
    channels = [[scaled(image[..., c].astype(np.float32)) for c in range(3)] for image in images]
    return np.array(channels).transpose(0, 2, 3, 1)


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """A half or a third of an image (H, W, 3), by OpenCV in a sixth or a third of Pillow's time.

    The antialiased filter is a triangle as wide as two new pixels: a small smoothing, then the mean of each
    new pixel's area. Beyond an edge Pillow has nothing, and OpenCV the edge once more, which counts 1 in 8
    or 9: that is taken out again.
    """
    height, width = image.shape[0] // factor, image.shape[1] // factor
    shrunk = _mean_of_smoothed(image, factor, height, width)
    weight = {2: 8, 3: 9}[factor]
    for end in (0, -1):
        row = _mean_of_smoothed(np.repeat(image[end][None], factor, axis=0), factor, 1, width)[0]
        shrunk[end] = np.rint(np.clip((weight * shrunk[end].astype(float) - row) / (weight - 1), 0, 255))
    for end in (0, -1):
        column = _mean_of_smoothed(np.repeat(image[:, end][:, None], factor, axis=1), factor, height, 1)[:, 0]
        shrunk[:, end] = np.rint(
            np.clip((weight * shrunk[:, end].astype(float) - column) / (weight - 1), 0, 255)
        )
    return shrunk


def _mean_of_smoothed(image: np.ndarray, factor: int, height: int, width: int) -> np.ndarray:
    import cv2

    if factor == 2:
        smooth = cv2.GaussianBlur(image, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)  # weights 1 2 1
    else:
        smooth = cv2.blur(image, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_AREA)


def area_weights(source: int, target: int) -> np.ndarray:
    """Share of each of `target` pixels that each of `source` more pixels covers: (target, source) float32."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) * (target / source)).astype(np.float32)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """A grey image (H, W) or (H, W, 1) as RGB; raises ImageError like `check_image`."""
    grey = image[:, :, None] if image.ndim == 2 else image
    if grey.ndim == 3 and grey.shape[2] == 1:
        image = np.repeat(grey, 3, axis=2)
    check_image(image)
    return image


def check_image(image: np.ndarray) -> None:
    """Refuse what cannot be described: raises ImageError unless uint8 (H, W, 3) of a usable size."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"expected uint8 RGB (H, W, 3); found {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST_SIDE:
        raise ImageError(
            f"an image of {width}x{height} pixels is too small to describe; expected at least "
            f"{_SMALLEST_SIDE} a side",
            "image too small",
        )
    refuse_odd_size(width, height)
