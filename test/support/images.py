"""A picture whose every mistake shows, and its pixels in the encodings that cameras send."""

from __future__ import annotations

import cv2
import numpy as np

_BAYER_COLOURS = {"r": 0, "g": 1, "b": 2}


def known_picture(height: int = 48, width: int = 64, phase: float = 0.0) -> np.ndarray:
    """Smooth uint8 RGB (height, width, 3): red grows to the right, green downwards, blue is high at the top.

    Swapped channels, a mirrored or sheared picture each change it by far more than any compression does.
    """
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    red, green, blue = 20 + 200 * x, 30 + 150 * y, 220 - 180 * y * (0.5 + 0.5 * np.cos(3 * x + phase))
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def pixel_bytes(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """Rows of a picture, (rows, bytes a row) uint8, as the `data` of a sensor_msgs/Image of that encoding."""
    if encoding.endswith("16"):
        return (samples(rgb, encoding[:-2] + "8").astype("<u2") * 257).view(np.uint8)
    return samples(rgb, encoding)


def samples(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """Samples of 8 bits, (rows, samples a row)."""
    height, width, _ = rgb.shape
    alpha = np.full((height, width, 1), 255, dtype=np.uint8)
    if encoding.startswith("bayer_"):
        return _mosaic(rgb, encoding[6:10])
    if encoding in ("mono8", "8UC1"):
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if encoding in ("uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"):
        return _yuv(rgb, encoding)
    bgr = rgb[..., ::-1]
    channels = {
        "rgb8": rgb,
        "bgr8": bgr,
        "8UC3": bgr,
        "rgba8": np.concatenate([rgb, alpha], axis=-1),
        "bgra8": np.concatenate([bgr, alpha], axis=-1),
    }
    return np.ascontiguousarray(channels[encoding]).reshape(height, -1)


def _mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    mosaic = np.empty(rgb.shape[:2], dtype=np.uint8)
    for index, colour in enumerate(pattern):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, _BAYER_COLOURS[colour]]
    return mosaic


def _yuv(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """BT.601 in the studio range, as ITU wrote it down."""
    weights = np.array([[0.257, 0.504, 0.098], [-0.148, -0.291, 0.439], [0.439, -0.368, -0.071]])
    y, u, v = np.moveaxis((rgb @ weights.T + [16, 128, 128]).round().astype(np.uint8), -1, 0)
    if encoding.startswith("nv"):
        first, second = (u, v) if encoding == "nv12" else (v, u)
        chroma = np.stack([first[::2, ::2], second[::2, ::2]], axis=-1).reshape(len(y) // 2, -1)
        return np.concatenate([y, chroma])
    left, right = y[:, ::2], y[:, 1::2]
    u, v = u[:, ::2], v[:, ::2]
    order = (u, left, v, right) if encoding in ("uyvy", "yuv422") else (left, u, right, v)
    return np.stack(order, axis=-1).reshape(len(y), -1)
