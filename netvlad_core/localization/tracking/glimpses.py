"""What the images between two that are news say.

A robot passes a place of a sparse map between two images that count, and the image that shows it best, from
right beside it, is one of those that do not. So an image that counts brings along the best that each place
has scored since the last one. That says where the robot is, and not whether it is on the map at all: the best
of several images is good anywhere. For that question all of them are asked, and their mean counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.localization.tracking.place_motion import numbered

# Way between two images that are looked at, spacings of the map: the images of a standing robot say nothing
# new, and the best of very many would be chance. 0.1 tried: fewer poses on each tenth place, since the image
# right beside a place is missed.
_APART = 0.02


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What one image or several of a short way say.

    Attributes
    ----------
    places, scores : (C,) the places most similar to the images, and the best score of each; all others have
        less.
    measured : place at which the pose of an image was measured, and the nats that speak for it.
    gaps : of each image but the last, by how much it looks like the place believed in more than like others.
    """

    places: np.ndarray
    scores: np.ndarray
    measured: tuple[int, float] | None = None
    gaps: tuple[float, ...] = ()


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
        self._lowest = -np.inf
        self._joint = Glimpse(np.empty(0, np.int64), np.empty(0))

    def wants(self, way: float) -> bool:
        """Whether to look at an image this far, in spacings of the map, from the last one that was news."""
        return way >= self._way + _APART

    def add(self, way: float, image: Glimpse, gap: float) -> None:
        """Look at an image that is no news; `gap` is one of `Glimpse.gaps`."""
        self._way = way
        self._joint = self._joined(image, (*self._joint.gaps, gap))

    def take(self, image: Glimpse) -> Glimpse:
        """What an image that is news says, joined with those before it."""
        gaps = self._joint.gaps
        joined = self._joined(image, gaps) if gaps else image
        self.forget()
        return joined

    def _joined(self, image: Glimpse, gaps: tuple[float, ...]) -> Glimpse:
        before = self._joint
        if len(image.places) < self._count:
            self._lowest = max(self._lowest, float(image.scores.min()))
        places = np.concatenate([before.places, image.places])
        each, row_of = numbered(places, self._count)
        best = np.full(len(each), self._lowest)
        np.maximum.at(best, row_of[places], np.concatenate([before.scores, image.scores]))
        measured = [found for found in (before.measured, image.measured) if found is not None]
        return Glimpse(each, best, max(measured, key=lambda found: found[1], default=None), gaps)
