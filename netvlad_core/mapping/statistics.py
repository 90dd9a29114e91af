"""Figures about a map: the spacing of its places, and what similarities are usual in it.

Similarities depend on light and network. Two scales take both out: standard deviations of an image's
similarity to the places at large (`localization/standard_scores.py`), and the difference that neighbouring
places have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from netvlad_core.data.radii import NEGATIVE_BEYOND
from netvlad_core.search import Rows

# Places that stand for all of them. Bound of time; other numbers were not tried.
_SAMPLED = 500
# Places that tell what is usual in the drives of a map, in all, and the fewest of a drive that do.
_SAMPLED_OF_DRIVES = 2000
_FEWEST_USUAL = 30
_BLOCK = 256  # rows in memory at a time
# Least difference between what the scale has as 0 and as 1: blank images are all alike, and rounding errors
# would be told apart. Neither was tuned.
_LEAST_DIFFERENCE = 1e-3
_LEAST_CONTRAST = 0.05


def median_spacing(positions: np.ndarray, counts_stops: bool = True) -> float:
    """Median distance between consecutive places in metres, 0 if there are fewer than two with poses.

    Parameters
    ----------
    positions : (N, 3) float, NaN for places without a pose.
    counts_stops : whether steps of zero metres count.
    """
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    steps = steps[steps >= 0 if counts_stops else steps > 0]  # both are false for NaN
    return float(np.median(steps)) if len(steps) else 0.0


def neighbour_similarity(places: np.ndarray, following: np.ndarray) -> float:
    """Median similarity of places to the ones that follow them, both (N, D)."""
    return float(np.median(np.einsum("nd,nd->n", places, following)))


def normalised(similarities: np.ndarray, neighbours: float) -> np.ndarray:
    """Similarities (N,) of an image to all places: 0 is their mean, 1 the similarity of `neighbours`."""
    if not len(similarities):
        return similarities
    usual = float(similarities.mean())
    return (similarities - usual) / max(neighbours - usual, _LEAST_CONTRAST)


@dataclass(frozen=True, eq=False)
class UsualSimilarity:
    """What similarities are usual in a map.

    Attributes
    ----------
    sample : (S, D) float32, descriptors of places spread over the map.
    neighbour_difference : 1 minus the similarity of places that follow each other.
    """

    sample: np.ndarray
    neighbour_difference: float

    @classmethod
    def of(cls, descriptors: Rows, among: np.ndarray | None = None, most: int = _SAMPLED) -> UsualSimilarity:
        """Sample up to `most` descriptors (N, D), N > 0, of a map, or of its rows (K,), ascending."""
        among = np.arange(len(descriptors)) if among is None else among
        taken = np.unique(np.linspace(0, len(among) - 1, min(most, _SAMPLED)).astype(int))
        sample = np.array(descriptors[among[taken]], np.float32)
        if len(taken) == 1:
            return cls(sample, 1.0)
        following = np.asarray(descriptors[among[taken[:-1] + 1]], np.float32)
        neighbours = neighbour_similarity(sample[:-1], following)
        return cls(sample, max(_LEAST_DIFFERENCE, 1 - neighbours))

    @property
    def level(self) -> float:
        """Mean similarity of the places at large."""
        return float((self.sample @ self.sample.T).mean())

    def difference(self, one: np.ndarray, other: np.ndarray) -> float:
        """Difference of two images; 1 is that of neighbouring places."""
        return (1 - float(one @ other)) / self.neighbour_difference


def usual_by_drive(descriptors: Rows, sessions: np.ndarray, whole: UsualSimilarity) -> list[UsualSimilarity]:
    """What is usual among the places of each drive, in whose light they are.

    However many drives there are, no more than 2000 places are sampled: beyond 66 drives, those that follow
    each other share a sample.

    Parameters
    ----------
    sessions : (N,) int, which drive each place is from.
    whole : what is usual in the whole map, which stands for a drive of few places.
    """
    drives = np.arange(int(sessions.max()) + 1)
    samples = min(len(drives), _SAMPLED_OF_DRIVES // _FEWEST_USUAL)
    sample_of, found = drives * samples // len(drives), []
    for sample in range(samples):
        rows = np.flatnonzero(sample_of[sessions] == sample)
        is_own = _FEWEST_USUAL <= len(rows) < len(sessions)
        usual = UsualSimilarity.of(descriptors, rows, _SAMPLED_OF_DRIVES // samples) if is_own else whole
        found += [usual] * int((sample_of == sample).sum())
    return found


def similarity_elsewhere(descriptors: Rows, positions: np.ndarray) -> float:
    """Similarity that the best wrong place of the map typically reaches.

    For a sample of places, the best match among all places more than 25 m away, as an image of unmapped
    surroundings would find it; the median of those. 0 if no two places are that far apart.

    Parameters
    ----------
    descriptors : (N, P) float.
    positions : (N, 3) float, metres; NaN for places without a pose.
    """
    if not len(positions):
        return 0.0
    sampled = np.unique(np.linspace(0, len(positions) - 1, _SAMPLED).round().astype(int))
    best = np.full(len(sampled), -np.inf)
    queries = np.asarray(descriptors[sampled], np.float32)
    for start in range(0, len(positions), _BLOCK):
        similarities = queries @ np.asarray(descriptors[start : start + _BLOCK], np.float32).T
        distances = cdist(positions[sampled], positions[start : start + _BLOCK])
        is_elsewhere = distances > NEGATIVE_BEYOND
        best = np.maximum(best, np.where(is_elsewhere, similarities, -np.inf).max(axis=1))
    best = best[np.isfinite(best)]
    return float(np.quantile(best, 0.5)) if len(best) else 0.0
