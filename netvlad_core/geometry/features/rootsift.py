"""RootSIFT (Arandjelovic and Zisserman, CVPR 2012): needs no network."""

from __future__ import annotations

import cv2
import numpy as np

# Smaller images, e.g. thumbnails, are enlarged to this: SIFT finds next to nothing in them. Not tuned.
_SMALLEST_SIDE = 240
_CONTRAST = 0.01  # a quarter of Lowe's: dusk and corridors have little; others were not tried


def find(grey: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of an image, as `FeatureKind.find` says."""
    scale = max(1.0, _SMALLEST_SIDE / min(grey.shape))
    if scale > 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    detector = cv2.SIFT.create(nfeatures=most, contrastThreshold=_CONTRAST)
    keypoints, sift = detector.detectAndCompute(grey, None)
    if sift is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    strongest = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")[:most]
    points = (np.asarray(cv2.KeyPoint.convert(keypoints))[strongest] + 0.5) / scale - 0.5
    sift = sift[strongest]
    roots = np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1e-9))
    return points.astype(np.float32), roots.astype(np.float32)
