"""What the images between two that are news say.

A robot passes a place of a sparse map between two images that count, and the image that shows it best, from
right beside it, is one of those that do not. So an image that counts brings along the best that each place
has scored since the last one.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.localization.tracking.place_motion import numbered

# Way between two images that are looked at, spacings of the map: the images of a standing robot say nothing
# new, and the best of very many would be chance. 0.1 tried: fewer poses on each tenth place, since the image
# right beside a place is missed.
_APART = 0.02


class Glimpses:
    """The best that places have scored since the last image that was news.

    Parameters
    ----------
    count : number of places.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.forget()

    def forget(self) -> None:
        """Start anew: an image was news, or the robot was carried."""
        self._way = 0.0
        self._places, self._scores = np.empty(0, np.int64), np.empty(0)
        self._lowest = -np.inf
        self._measured: tuple[int, float] | None = None

    def add(
        self, way: float, places: np.ndarray, scores: np.ndarray, measured: tuple[int, float] | None
    ) -> None:
        """Look at an image that is no news.

        Parameters
        ----------
        way : since the last image that was, spacings of the map.
        places, scores : (C,) the places most similar to the image, and their scores; all others have less.
        measured : place at which the pose of the image was measured, and the nats that speak for it.
        """
        if way >= self._way + _APART:
            self._way = way
            self._places, self._scores, self._measured = self._joined(places, scores, measured)

    def take(
        self, places: np.ndarray, scores: np.ndarray, measured: tuple[int, float] | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, float] | None]:
        """The same of an image that is news, joined with what the images before it have said."""
        joined = self._joined(places, scores, measured) if len(self._places) else (places, scores, measured)
        self.forget()
        return joined

    def _joined(
        self, places: np.ndarray, scores: np.ndarray, measured: tuple[int, float] | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, float] | None]:
        if len(places) < self._count:
            self._lowest = max(self._lowest, float(scores.min()))
        places, scores = np.concatenate([self._places, places]), np.concatenate([self._scores, scores])
        each, row_of = numbered(places, self._count)
        best = np.full(len(each), self._lowest)
        np.maximum.at(best, row_of[places], scores)
        seen = [found for found in (self._measured, measured) if found is not None]
        return each, best, max(seen, key=lambda found: found[1], default=None)
