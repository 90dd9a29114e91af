"""Small pictures for a page: several to a sheet, and all sheets together below a number of bytes."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from netvlad_core.data.images import resize_to_fit
from netvlad_core.errors import ImageError

# WebP spends about this on a pixel of a street at a middling quality; it sets the size of a cell.
_BYTES_PER_PIXEL = 0.1
_SMALLEST, _LARGEST = 64, 320  # longer side of a cell, pixels
_SHEET = 1024  # pixels of either side, about; browsers decode a sheet at once
_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80)
_OF_BASE64 = 4 / 3  # characters per byte


class PictureSheets:
    """Pictures in the order of adding, a cell of a sheet each, all of one size.

    Parameters
    ----------
    count : number of pictures to come, or more; the cells are the smaller the more there are.
    most_bytes : of all sheets in the page; 0 keeps no pictures.
    """

    def __init__(self, count: int, most_bytes: float) -> None:
        self._expected = max(1, count)
        self._left = most_bytes / _OF_BASE64
        self._longest = 0
        if most_bytes:
            pixels = self._left / self._expected / _BYTES_PER_PIXEL * 4 / 3
            self._longest = int(np.clip(np.sqrt(pixels), _SMALLEST, _LARGEST))
        self._count = self._placed = 0  # added, and in a sheet already
        self._cell: tuple[int, int] | None = None  # width and height
        self._waiting: list[np.ndarray] = []
        self._encoded: list[str] = []
        self._quality = len(_QUALITIES) // 2

    def add(self, image: np.ndarray) -> int | None:
        """Keep an image, uint8 RGB (H, W, 3); returns its number, or None if no pictures are kept."""
        if not self._longest:
            return None
        small = resize_to_fit(image, self._longest)
        if self._cell is None:
            self._cell = small.shape[1], small.shape[0]
        self._waiting.append(_fitted(small, *self._cell))
        if len(self._waiting) == self._columns * self._rows:
            self._close_sheet()
        self._count += 1
        return self._count - 1

    def values(self) -> dict[str, Any] | None:
        """What the page needs: size of a cell, columns and rows of a sheet, sheets as data URLs."""
        if self._cell is None:
            return None
        if self._waiting:
            self._close_sheet()
        return {
            "width": self._cell[0],
            "height": self._cell[1],
            "columns": self._columns,
            "rows": self._rows,
            "count": self._count,
            "sheets": self._encoded,
        }

    @property
    def _columns(self) -> int:
        assert self._cell is not None
        return max(1, _SHEET // self._cell[0])

    @property
    def _rows(self) -> int:
        assert self._cell is not None
        return max(1, _SHEET // self._cell[1])

    def _close_sheet(self) -> None:
        """Encode the waiting pictures with no more than their share of what is left."""
        cells, columns = self._waiting, self._columns
        self._waiting = []
        blank = [np.zeros_like(cells[0])] * (-len(cells) % columns)
        rows = np.array([*cells, *blank]).reshape(-1, columns, *cells[0].shape)
        sheet = np.ascontiguousarray(np.vstack([np.hstack(row) for row in rows]))
        to_come = max(len(cells), self._expected - self._placed)
        data = self._encode(sheet, self._left * len(cells) / to_come)
        self._placed += len(cells)
        self._left -= len(data)
        self._encoded.append("data:image/webp;base64," + base64.b64encode(data).decode())

    def _encode(self, sheet: np.ndarray, share: float) -> bytes:
        """The best quality within the share, near that of the last sheet; at worst in fewer pixels."""
        self._quality = min(self._quality + 1, len(_QUALITIES) - 1)
        while True:
            data = _encode_webp(sheet, _QUALITIES[self._quality])
            if len(data) <= share or min(sheet.shape[:2]) <= 2:
                return data
            if self._quality:
                self._quality -= 1
            else:  # the page stretches the sheet to its size
                sheet = cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image in the middle of a black cell (height, width, 3), shrunk if it is too large."""
    scale = min(width / image.shape[1], height / image.shape[0], 1.0)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    if size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if size == (width, height):
        return image
    cell = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    cell[top : top + size[1], left : left + size[0]] = image
    return cell


def _encode_webp(image: np.ndarray, quality: int) -> bytes:
    done, data = cv2.imencode(
        ".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality]
    )
    if not done:
        raise ImageError(f"OpenCV cannot compress an image of shape {image.shape} as WebP")
    return data.tobytes()
