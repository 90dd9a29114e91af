"""What inliers are worth on a drive: learned from places that odometry puts elsewhere.

A map compares some of its places with strangers when it is built (`netvlad_core/geometry/evidence.py`). A
drive compares each image with the places that resemble it most anyway. Those far from it by odometry, farther
than that can have drifted on the way between them, are strangers and teach the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from netvlad_core.data.radii import NEGATIVE_BEYOND
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.mapping.places import Match

_IMAGES = 60  # as many as a map is sampled at: the present street and the ones before it
# Share of the way by which odometry may have drifted. A heading that drifts by 0.03 degrees a metre, as in
# town/drift.py, is 15 degrees off after half a kilometre and the position a quarter of the way. By this
# reasoning; neighbours were not tried.
_DRIFT = 0.25


class Strangers:
    """Comparisons of the last images with places elsewhere."""

    def __init__(self) -> None:
        self._pairs: deque[np.ndarray] = deque(maxlen=_IMAGES)  # (K, 2) inliers and similarities

    def add(self, matches: Sequence[Match], away: np.ndarray, way: np.ndarray) -> None:
        """Take the places (K) that an image was compared with.

        Parameters
        ----------
        away : (K,) metres from the image to the places by odometry.
        way : (K,) metres driven between them.
        """
        is_stranger = away > NEGATIVE_BEYOND + _DRIFT * way
        if is_stranger.any():
            pairs = np.array([(match.inliers, match.similarity) for match in matches])
            self._pairs.append(pairs[is_stranger])

    def likelihood(self) -> Likelihood | None:
        """What they teach; None if they are too few."""
        if not self._pairs:
            return None
        most = max(len(pairs) for pairs in self._pairs)
        padded = [
            np.pad(pairs, ((0, most - len(pairs)), (0, 0)), constant_values=-np.inf) for pairs in self._pairs
        ]
        inliers, similarities = np.moveaxis(np.array(padded), 2, 0)
        return Likelihood.learned(inliers, similarities)
