"""Local features of images and their matches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from netvlad_core.geometry.features import KINDS

# Pixels within which a point is found again in an image of 240 rows; blur grows with the image. Not tuned.
_TOLERANCE, _REFERENCE_ROWS = 2.0, 240


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Points of one image that can be found again.

    Attributes
    ----------
    points : (N, 2) float32, x and y in pixels of the original image; the strongest ones come first.
    descriptors : (N, D) float32, L2-normalised.
    size : width and height of the image.
    kind : name in `KINDS`; features of two kinds cannot be compared.
    """

    points: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]
    kind: str = "rootsift"

    def __len__(self) -> int:
        return len(self.points)

    @property
    def tolerance(self) -> float:
        """Pixels within which a point is found again."""
        return _TOLERANCE * min(self.size) / _REFERENCE_ROWS

    def strongest(self, most: int) -> LocalFeatures:
        """Those that come first, as many as `most`."""
        return self if len(self) <= most else self.take(np.arange(most))

    def take(self, rows: np.ndarray) -> LocalFeatures:
        """A part of the features: rows (M,) int, or (N,) bool."""
        return LocalFeatures(self.points[rows], self.descriptors[rows], self.size, self.kind)


def no_features(kind: str = "rootsift", size: tuple[int, int] = (1, 1)) -> LocalFeatures:
    """What a blank image has."""
    width = KINDS[kind].dimension
    return LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, width), np.float32), size, kind)


def find_features(image: np.ndarray, most: int = 1000, kind: str = "rootsift") -> LocalFeatures:
    """The strongest local features of an image (H, W, 3) uint8 RGB, best first; none in a blank one.

    An image of more pixels than the kind takes is made smaller first.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if (scale := math.sqrt(KINDS[kind].most_pixels / grey.size)) < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    points, descriptors = KINDS[kind].find(grey, most)
    if scale < 1:
        points = ((points + 0.5) * (width / grey.shape[1], height / grey.shape[0]) - 0.5).astype(np.float32)
    return LocalFeatures(points, descriptors, (width, height), kind)


def match_features(a: LocalFeatures, b: LocalFeatures) -> np.ndarray:
    """Pairs of features that are each other's nearest, and clearly so: (M, 2) int, rows in a and in b."""
    if len(a) < 2 or len(b) < 2:
        return np.empty((0, 2), np.int64)
    kind = KINDS[a.kind]
    similarities = a.descriptors @ b.descriptors.T
    rows, nearest = np.arange(len(a)), similarities.argmax(axis=1)
    is_mutual = similarities.argmax(axis=0)[nearest] == rows
    first = similarities[rows, nearest]
    similarities[rows, nearest] = -np.inf
    # Squared distances, halved.
    is_clear = (1 - first) < kind.ratio**2 * (1 - similarities.max(axis=1))
    kept = rows[is_mutual & is_clear & (first >= kind.least_similarity)]
    return np.stack([kept, nearest[kept]], axis=1)
