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
_MOST_NUMBERS = 1 << 24  # spots times drives: a bound of memory; beyond it the best view alone counts


class Appearances:
    """Ranks the spots of a map.

    Parameters
    ----------
    places : the map.
    spots : which of its places show one spot.
    """

    def __init__(self, places: Places, spots: Spots) -> None:
        self._spots, self._sessions = spots, places.sessions
        self._drives = int(places.sessions.max()) + 1
        # The view nearest to each spot that each drive has, (S, drives), or -1.
        self._views: np.ndarray | None = None
        if self._drives > 1 and len(spots.first) * self._drives <= _MOST_NUMBERS:
            self._views = np.full((len(spots.first), self._drives), -1, np.int32)
            for drive in range(self._drives):
                rows = np.flatnonzero(places.sessions == drive)
                near = nearest(places.poses[spots.first], places.poses[rows], POSITIVE_WITHIN)
                self._views[near >= 0, drive] = rows[near[near >= 0]]

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
        if self._views is None:
            return best
        known = np.full(len(self._sessions), similarities.min())  # no other place is more similar
        known[places] = similarities
        views = self._views[self._spots.of[places[best]]]
        drives, own = self._sessions[places[best]], similarities[best]
        shift = usual - usual[drives][:, None]
        guessed = own[:, None] + np.where(shift > 0, _GUESSED * shift, shift)
        values = np.where(views >= 0, known[views], guessed)
        values[np.arange(len(best)), drives] = own
        fit = np.exp(_SHARPNESS * (values - values.max())).sum(axis=1)
        return best[np.argsort(-fit, kind="stable")]
