"""How unusual is a similarity? In standard deviations of what is usual among the places of the same drive.

Drives in other light are less alike; among the places of all of them little would stand out.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.mapping.places import Places
from netvlad_core.mapping.statistics import UsualSimilarity, usual_by_drive

_LEAST_DEVIATION = 1e-6


class StandardScores:
    """Standard scores of similarities to the places of a map.

    Parameters
    ----------
    places : the map.
    usual : of the whole map.
    """

    def __init__(self, places: Places, usual: UsualSimilarity) -> None:
        of_drives = usual_by_drive(places.descriptors, places.sessions, usual)
        different = list(dict.fromkeys(of_drives))
        self._usual_of = np.array([different.index(one) for one in of_drives])
        self._counts = np.array([len(one.sample) for one in different])
        self._samples = np.concatenate([one.sample for one in different])
        self._sessions = places.sessions

    def of(self, query: np.ndarray, similarities: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scores (K,) of an image's similarities (K,) to the places of these rows (K,).

        Parameters
        ----------
        query : (P,) float32, what is compared with the descriptors of the map.
        """
        products, starts, means = self._products(query)
        variances = np.add.reduceat((products - np.repeat(means, self._counts)) ** 2, starts) / self._counts
        deviations = np.maximum(np.sqrt(variances), _LEAST_DEVIATION)
        usual = self._usual_of[self._sessions[rows]]
        return (similarities - means[usual]) / deviations[usual]

    def means(self, query: np.ndarray) -> np.ndarray:
        """Mean similarity of an image (P,) to the places of each drive, (drives,) float64."""
        return self._products(query)[2][self._usual_of]

    def _products(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Similarities to all samples, where each sample begins, and the mean of each."""
        products = (self._samples @ query).astype(np.float64)
        starts = np.cumsum(self._counts) - self._counts
        return products, starts, np.add.reduceat(products, starts) / self._counts
