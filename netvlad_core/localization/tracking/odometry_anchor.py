"""Where the frame of odometry lies on the map, from the places passed so far.

A place says where the robot is to half a spacing, and at a turn not even that, since the images there look
like the street ahead. Odometry is exact from one image to the next and drifts over a long way. The rigid
movement in the plane that carries the odometry of the last few spacings onto the places believed in then has
the best of both: in maps of 16 m spacing it tells the position to 2 m, where the places are 5 m off, and it
moves on with every image, also between those that are news.

Positions in the plane are complex numbers: the movement is m = M + r (o - O) with |r| = 1, where M and O are
weighted means. The r that minimises the squared distances is the direction of the sum of (m - M) conj(o - O)
(Umeyama, 1991, in two dimensions); headings count like two places a spacing apart.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.place_motion import PlaceMotion

# Spacings of the map after which a place counts 1/e. 3 and 6 tried: with 3 the position is a quarter less
# exact, with 6 odometry that is a twentieth too long and turns by 17 degrees in 100 m does no harm yet.
_MEMORY = 6.0
# Spacings between a place and odometry beyond which one of them is wrong, and the share of all before that
# is kept then; and those beyond which the robot was carried. Places off the map are named at random: with
# 0.7 as share the first image behind an unmapped part of the loop is named wrongly.
_FAR, _LAPSE = 1.25, 0.5
_CARRIED = 3.0
# Least weight of an image, as when the robot turns on the spot. By design.
_LEAST_NEWS = 0.05


class OdometryAnchor:
    """The movement from odometry to the map.

    Parameters
    ----------
    motion : the places.
    """

    def __init__(self, motion: PlaceMotion) -> None:
        self._motion = motion
        self._places = _planar(motion.positions)
        self._headings = np.exp(1j * motion.headings)
        self.forget()

    def forget(self) -> None:
        """Start anew: odometry was interrupted, or the robot carried."""
        self._origins = np.zeros(2, complex)  # of map and odometry, for the sake of digits
        # Of weights, of places m, of odometry o, of m conj(o), and of headings less those of odometry.
        self._sums = np.zeros(5, complex)

    def add(self, place: int, is_reversed: bool, odometry: Pose, news: float, trust: float) -> None:
        """Take it that the robot was at a place, as far as that is to be trusted.

        Parameters
        ----------
        is_reversed : whether it faced against the heading of the place.
        odometry : odom <- base_link.
        news : way since the last image, spacings of the map.
        trust : probability of being on the map at all.
        """
        at, driven = self._places[place], complex(_planar(odometry.position))
        if not np.isfinite(at):
            return
        kept = np.exp(-news / _MEMORY)
        if self._sums[0]:
            apart = abs(self._carried(driven) - at) / self._motion.spacing
            if apart > _CARRIED:
                self.forget()
            elif apart > _FAR:
                kept *= _LAPSE
        if not self._sums[0]:
            self._origins = np.array([at, driven])
        at, driven = np.array([at, driven]) - self._origins
        turned = self._heading(place, is_reversed) * np.exp(-1j * odometry.yaw)
        seen = np.array([1.0, at, driven, at * np.conj(driven), turned])
        self._sums = kept * self._sums + trust * max(news, _LEAST_NEWS) * seen

    def nearest(self, place: int, is_reversed: bool, odometry: Pose) -> int:
        """The place that odometry is at, among the neighbours of the one believed in.

        Parameters
        ----------
        place, is_reversed : believed in.
        """
        if not self._sums[0] or not np.isfinite(self._places[place]):
            return place
        near = self._motion.neighbours[place]
        position = self._carried(complex(_planar(odometry.position)))
        heading = self._turn * np.exp(1j * odometry.yaw)
        away = np.abs(self._places[near] - position) ** 2
        away += (self._motion.spacing * np.abs(self._heading(near, is_reversed) - heading)) ** 2
        return int(near[away.argmin()])

    def _heading(self, places: int | np.ndarray, is_reversed: bool) -> np.ndarray:
        """Directions in which a robot at these places faces, complex numbers of length 1."""
        return self._headings[places] * (-1 if is_reversed else 1)

    @property
    def _turn(self) -> complex:
        weight, at, driven, product, turned = self._sums
        sum_of_products = product - at * np.conj(driven) / weight + self._motion.spacing**2 * turned
        return complex(sum_of_products / max(abs(sum_of_products), 1e-12))

    def _carried(self, driven: complex) -> complex:
        """A position of odometry in the map."""
        weight, at, mean, _, _ = self._sums
        along = driven - self._origins[1] - mean / weight
        return complex(self._origins[0] + at / weight + self._turn * along)


def _planar(positions: np.ndarray) -> np.ndarray:
    """Positions (..., 3) seen from above."""
    return positions[..., 0] + 1j * positions[..., 1]
