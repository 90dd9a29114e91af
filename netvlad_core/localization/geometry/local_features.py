"""Local features of images and their matches: RootSIFT (Arandjelovic and Zisserman, CVPR 2012)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

# Smaller images, e.g. thumbnails, are enlarged to this: SIFT finds next to nothing in them. Not tuned.
_SMALLEST_SIDE = 240
_CONTRAST = 0.01  # a quarter of Lowe's: dusk and corridors have little; others were not tried
# Pixels within which a point is found again in an image of 240 rows; blur grows with the image. Not tuned.
_TOLERANCE, _REFERENCE_ROWS = 2.0, 240


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Points of one image that can be found again.

    Attributes
    ----------
    points : (N, 2) float32, x and y in pixels of the original image.
    descriptors : (N, 128) float32, L2-normalised.
    size : width and height of the image.
    """

    points: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def tolerance(self) -> float:
        """Pixels within which a point is found again."""
        return _TOLERANCE * min(self.size) / _REFERENCE_ROWS

    def take(self, rows: np.ndarray) -> LocalFeatures:
        """A part of the features: rows (M,) int, or (N,) bool."""
        return LocalFeatures(self.points[rows], self.descriptors[rows], self.size)


NO_FEATURES = LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32), (1, 1))


def find_features(image: np.ndarray, most: int = 1000) -> LocalFeatures:
    """The strongest RootSIFT features of an image (H, W, 3) uint8 RGB; none in a blank one."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = max(1.0, _SMALLEST_SIDE / min(height, width))
    if scale > 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    detector = cv2.SIFT.create(nfeatures=most, contrastThreshold=_CONTRAST)
    keypoints, sift = detector.detectAndCompute(grey, None)
    if sift is None:
        return replace(NO_FEATURES, size=(width, height))
    points = (np.asarray(cv2.KeyPoint.convert(keypoints)) + 0.5) / scale - 0.5
    roots = np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1e-9))
    return LocalFeatures(points.astype(np.float32), roots.astype(np.float32), (width, height))


def match_features(a: LocalFeatures, b: LocalFeatures, ratio: float = 0.9) -> np.ndarray:
    """Pairs of features that are each other's nearest, and clearly so: (M, 2) int, rows in a and in b.

    Parameters
    ----------
    ratio : Lowe's test: greatest distance of the nearest descriptor as a share of that of the second.
        Not tuned; Lowe takes 0.8, and here geometry tells wrong matches apart afterwards.
    """
    if len(a) < 2 or len(b) < 2:
        return np.empty((0, 2), np.int64)
    similarities = a.descriptors @ b.descriptors.T
    rows, nearest = np.arange(len(a)), similarities.argmax(axis=1)
    is_mutual = similarities.argmax(axis=0)[nearest] == rows
    first = similarities[rows, nearest]
    similarities[rows, nearest] = -np.inf
    is_clear = (1 - first) < ratio**2 * (1 - similarities.max(axis=1))  # squared distances, halved
    kept = rows[is_mutual & is_clear]
    return np.stack([kept, nearest[kept]], axis=1)
