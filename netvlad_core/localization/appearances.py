"""Places with several appearances: how well an image fits a spot by the views that several drives have of it.

At dusk an image resembles the view of noon a little and that of the night a little; together they find the
place more often than either. What drives have seen nearby stands for a view that they do not have, and where
a drive has not been at all, its view is guessed: drives in other light are less alike, and a spot would win
or lose by the light of its drive alone.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.spots import Spots, nearest
from netvlad_core.mapping.places import Places

# Of the sum over the views, exp(sharpness x similarity). 4 to 16 tried on the town by day, at dusk and by
# night: lower, and views in other light are noise; higher, and it is the best view alone.
_SHARPNESS = 8.0
# A view that a drive does not have differs from the best one by what is usual; by this share of that if it
# would be better. 0 to 1 tried where the drives have parts of the town only: with 1 guesses win over views.
_GUESSED = 0.75
# Share of all views in the score of a spot on a drive, the rest is that of its best view. 0 and 1 tried: with
# 1 the filter says up to 39 poses for 200 images of a town that the map does not know.
_TOGETHER = 0.5
_SAMPLED = 2000  # views that tell what is usual: a bound of time
_MOST_NUMBERS = 1 << 24  # spots times drives: a bound of memory; beyond it the best view alone counts
_LEAST_DEVIATION = 1e-6


class Appearances:
    """Ranks and scores the spots of a map of several drives.

    Parameters
    ----------
    places : the map.
    spots : which of its places show one spot.
    """

    def __init__(self, places: Places, spots: Spots) -> None:
        self._spots, self._sessions = spots, places.sessions
        drives = int(places.sessions.max()) + 1
        self.are_several = drives > 1 and len(spots.first) * drives <= _MOST_NUMBERS
        if not self.are_several:
            return
        # The view nearest to each spot that each drive has, (S, drives), or -1.
        self._views = np.full((len(spots.first), drives), -1, np.int32)
        for drive in range(drives):
            rows = np.flatnonzero(places.sessions == drive)
            near = nearest(places.poses[spots.first], places.poses[rows], POSITIVE_WITHIN)
            self._views[near >= 0, drive] = rows[near[near >= 0]]
        self._views[np.arange(len(spots.first)), places.sessions[spots.first]] = spots.first
        count = max(1, min(len(spots.first), _SAMPLED // drives))
        sampled = self._views[np.unique(np.linspace(0, len(spots.first) - 1, count).astype(int))]
        rows, inside = np.unique(sampled, return_inverse=True)
        inside, has_none = inside.reshape(sampled.shape), int(rows[0] < 0)
        self._sampled = np.where(sampled < 0, -1, inside - has_none)
        self._sample = np.asarray(places.descriptors[rows[has_none:]], np.float32)

    def ranked(self, places: np.ndarray, similarities: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """Of candidate places the best view of each spot, the spot that the image fits best first.

        Parameters
        ----------
        places : (K,) int, rows of the map, the most similar first.
        similarities : (K,) float.
        usual : (drives,) float, mean similarity of the image to the places of each drive.

        Returns
        -------
        (spots,) int, indices into `places`.
        """
        best = self._spots.best_views(places)
        if not self.are_several:
            return best
        return best[np.argsort(-self._fits(best, places, similarities, usual), kind="stable")]

    def scores(
        self,
        query: np.ndarray,
        places: np.ndarray,
        similarities: np.ndarray,
        usual: np.ndarray,
        scores: np.ndarray,
    ) -> np.ndarray:
        """Scores (K,) of the places, half those of their own and half of all views of their spot.

        Parameters
        ----------
        query : (P,) float32, what is compared with the descriptors of the map.
        places, similarities, usual : as in `ranked`.
        scores : (K,) float, of each view alone, in standard deviations of what is usual.
        """
        if not self.are_several:
            return scores
        best = self._spots.best_views(places)
        fits = self._fits(best, places, similarities, usual)
        at_large = _fit(_looked_up(self._sample @ query, self._sampled), usual)
        together = np.zeros(len(self._spots.first))
        spots = self._spots.of[places]
        together[spots[best]] = (fits - at_large.mean()) / max(float(at_large.std()), _LEAST_DEVIATION)
        alone = np.full(len(together), -np.inf)
        np.maximum.at(alone, spots, scores)
        return scores + _TOGETHER * (together - alone)[spots]

    def _fits(
        self, best: np.ndarray, places: np.ndarray, similarities: np.ndarray, usual: np.ndarray
    ) -> np.ndarray:
        known = np.full(len(self._sessions), similarities.min())  # no other place is more similar
        known[places] = similarities
        values = _looked_up(known, self._views[self._spots.of[places[best]]])
        values[np.arange(len(best)), self._sessions[places[best]]] = similarities[best]
        return _fit(values, usual)


def _looked_up(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows >= 0, values[rows], np.nan)


def _fit(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """How well an image fits spots (K,) by its similarities to their views (K, drives), NaN for none."""
    known = np.where(np.isnan(values), -np.inf, values)
    drives, own = known.argmax(axis=1), known.max(axis=1)
    shift = usual - usual[drives][:, None]
    guessed = own[:, None] + np.where(shift > 0, _GUESSED * shift, shift)
    values = np.where(np.isnan(values), guessed, values)
    top = float(values.max())
    return top + np.log(np.exp(_SHARPNESS * (values - top)).sum(axis=1)) / _SHARPNESS
