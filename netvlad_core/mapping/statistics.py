"""Figures about a map that the localizer needs before it has seen a single query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from netvlad_core.data.radii import NEGATIVE_BEYOND

_SAMPLED_PLACES = 500
_QUANTILE = 0.5
_BLOCK = 256  # rows in memory at a time


def median_spacing(positions: np.ndarray) -> float:
    """Median distance between consecutive places in metres, 0 where there are fewer than two with poses.

    Parameters
    ----------
    positions : (N, 3) float, NaN for places without a pose.
    """
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) if len(steps) else 0.0


def similarity_elsewhere(descriptors: Path, positions: np.ndarray) -> float:
    """Similarity that the best wrong place of the map typically reaches.

    For a sample of places, the best match among all places more than 25 m away, as an image of unmapped
    surroundings would find it; the median of those. 0 where no two places are that far apart.

    Parameters
    ----------
    descriptors : file of an array (N, D) float32; it may be larger than the memory.
    positions : (N, 3) float, metres; NaN for places without a pose.
    """
    if not len(positions):
        return 0.0
    sampled = np.unique(np.linspace(0, len(positions) - 1, _SAMPLED_PLACES).round().astype(int))
    best = np.full(len(sampled), -np.inf)
    queries = np.concatenate([_rows(descriptors, row) for row in sampled])
    for start in range(0, len(positions), _BLOCK):
        similarities = queries @ _rows(descriptors, start, _BLOCK).T
        distances = cdist(positions[sampled], positions[start : start + _BLOCK])
        is_elsewhere = distances > NEGATIVE_BEYOND
        best = np.maximum(best, np.where(is_elsewhere, similarities, -np.inf).max(axis=1))
    best = best[np.isfinite(best)]
    return float(np.quantile(best, _QUANTILE)) if len(best) else 0.0


def _rows(path: Path, start: int, count: int = 1) -> np.ndarray:
    # Read and not mapped: the pages of a mapped file count as memory of the process.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    dimension = array.shape[1]
    row_bytes = dimension * array.itemsize
    rows = np.fromfile(path, array.dtype, count * dimension, offset=array.offset + start * row_bytes)
    return rows.reshape(-1, dimension)
