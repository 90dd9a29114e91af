"""Ego mask: parts of the image that show the robot, not the world: a hood, a lens rim, dirt, a watermark.

Their features agree between any two images, and would confirm places that have nothing else in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_dilation

from netvlad_core.geometry.local_features import LocalFeatures, match_features

_GRID = (24, 32)  # rows and columns: cells of 10 pixels in an image of 320x240; not tuned
# A cell belongs to the robot if its features stand still in this share of image pairs. Without any visible
# robot part the share stayed below 0.08 (the vanishing point of a street). Neighbours were not tried.
_SHARE = 0.1
_FEWEST_VOTES = 3  # pairs; two may agree by chance; not tuned
# A larger part of the image is not the robot, but a scene that all of the images show. Not tuned.
_MOST_OF_IMAGE = 0.5


def find_ego_mask(pairs: Sequence[tuple[LocalFeatures, LocalFeatures]]) -> np.ndarray:
    """Cells of the image (24, 32) bool in which features stand still though the robot moves.

    Parameters
    ----------
    pairs : images of one camera and size that show different scenes; if all show one, no cell is masked.
    """
    votes = np.zeros(_GRID)
    for one, other in pairs:
        matches = match_features(one, other)
        moved = one.points[matches[:, 0]] - other.points[matches[:, 1]]
        still = np.linalg.norm(moved, axis=1) <= one.tolerance
        rows, columns = np.unique(_cells(one)[matches[still, 0]], axis=0).T
        votes[rows, columns] += 1
    own = binary_dilation(votes >= max(_FEWEST_VOTES, _SHARE * len(pairs)), np.ones((3, 3)))
    return own if own.mean() <= _MOST_OF_IMAGE else np.zeros(_GRID, bool)


def without(features: LocalFeatures, ego_mask: np.ndarray) -> LocalFeatures:
    """The features of the world."""
    if not len(features) or not ego_mask.any():
        return features
    return features.take(~ego_mask[tuple(_cells(features).T)])


def _cells(features: LocalFeatures) -> np.ndarray:
    """(N, 2) int, row and column of the cell of each feature."""
    cells = (features.points[:, ::-1] / features.size[::-1] * _GRID).astype(int)
    return cells.clip(0, np.array(_GRID) - 1)
