"""Local features of an image in a few bytes, as a map keeps them.

All numbers are little-endian. A row begins with width and height of the image, the number of features, and 1
if the row is whole (uint16 each). Then come the points as shares of width and height in 65535ths (uint16),
the descriptors in 127ths (int8), and in a whole row the points in metres in the base frame (float16,
NaN where nothing is known). 500 XFeat features take 37 kB, 450 RootSIFT features 62 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures

_HEADER = 4 * 2  # bytes
_SHARES = 65535
_LEVELS = 127
_LARGEST_NORM = 2.0  # of a descriptor: rounded ones are about 1 long


@dataclass(frozen=True, eq=False)
class PackedFeatures:
    """Local features of a place, unpacked.

    Attributes
    ----------
    features : as they were found, but for rounding.
    points : (N, 3) float32, metres in the base frame of the place, NaN where unknown; None before the whole
        map is known: then the features are with those of the robot itself.
    """

    features: LocalFeatures
    points: np.ndarray | None = None

    def pack(self) -> bytes:
        """The row, as `unpack` reads it."""
        found, size = self.features, np.array(self.features.size)
        header = np.array([*size, len(found), self.points is not None], "<u2")
        shares = ((found.points + 0.5) / size).clip(0, 1) * _SHARES
        parts = [header, shares.round().astype("<u2"), (found.descriptors * _LEVELS).round().astype(np.int8)]
        if self.points is not None:
            with np.errstate(over="ignore"):  # further than 65 km is infinite, hence unknown
                parts.append(self.points.astype("<f2"))
        return b"".join(part.tobytes() for part in parts)


def unpack(row: bytes, kind: str) -> PackedFeatures:
    """The features in a row of this kind; raises MapError if it is none."""
    width = KINDS[kind].dimension
    columns, rows, count, is_whole = np.frombuffer(row[:_HEADER].ljust(_HEADER, b"\0"), "<u2").tolist()
    if not (columns and rows and is_whole <= 1) or len(row) != _HEADER + count * (4 + width + 6 * is_whole):
        raise MapError(f"{len(row)} bytes are no row of local features")
    size = np.array([columns, rows], np.float32)
    shares = np.frombuffer(row, "<u2", 2 * count, _HEADER).reshape(count, 2)
    levels = np.frombuffer(row, np.int8, width * count, _HEADER + 4 * count).reshape(count, width)
    descriptors = levels / np.float32(_LEVELS)
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    if (lengths > _LARGEST_NORM).any():
        raise MapError("a local feature has a descriptor that is not of length 1")
    pixels = shares.astype(np.float32) / _SHARES * size - 0.5
    features = LocalFeatures(pixels, descriptors / np.maximum(lengths, 1e-6), (columns, rows), kind)
    if not is_whole:
        return PackedFeatures(features)
    points = np.frombuffer(row, "<f2", 3 * count, _HEADER + (4 + width) * count).reshape(count, 3)
    is_known = np.isfinite(points).all(axis=1, keepdims=True)
    return PackedFeatures(features, np.where(is_known, points, np.nan).astype(np.float32))


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Local features of all places of a map.

    Attributes
    ----------
    kind : name in `KINDS`.
    rows : of all places, packed; read when they are asked for.
    likelihood : what the map has taught, None if it has too few strangers.
    """

    kind: str
    rows: Sequence[bytes]
    likelihood: Likelihood | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> PackedFeatures:
        """Features of a place; raises MapError if its row is none."""
        return unpack(self.rows[place], self.kind)
