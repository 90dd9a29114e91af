"""The place that odometry is at, held by the places passed so far.

A place says where the robot is to half a spacing, and at a turn not even that, since the images there look
like the street ahead. Odometry anchored to the places of the last spacings tells the position to 2 m in maps
of 16 m spacing, where the places are 5 m off.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.odometry_anchor import OdometryAnchor
from netvlad_core.localization.tracking.place_motion import PlaceMotion

# Least weight of an image, as when the robot turns on the spot. By design.
_LEAST_NEWS = 0.05


class AnchoredPlace:
    """Odometry anchored to the places believed in.

    Parameters
    ----------
    motion : the places.
    """

    def __init__(self, motion: PlaceMotion) -> None:
        self._motion = motion
        self._anchor = OdometryAnchor(motion.spacing)
        self._places = motion.positions[:, 0] + 1j * motion.positions[:, 1]
        self._headings = np.exp(1j * motion.headings)

    def copy(self) -> AnchoredPlace:
        """The same, which goes its own way from here."""
        copied = copy(self)
        copied._anchor = copy(self._anchor)
        return copied

    def forget(self) -> None:
        """Start anew: odometry was interrupted, or the robot carried."""
        self._anchor.forget()

    def add(self, place: int, is_reversed: bool, odometry: Pose, news: float, trust: float) -> None:
        """Take it that the robot was at a place, as far as that is to be trusted.

        Parameters
        ----------
        is_reversed : whether it faced against the heading of the place.
        odometry : odom <- base_link.
        news : way since the last image, spacings of the map.
        trust : probability of being on the map at all.
        """
        if np.isfinite(at := complex(self._places[place])):
            heading = complex(self._heading(place, is_reversed))
            self._anchor.add(at, heading, odometry, news, trust * max(news, _LEAST_NEWS))

    def nearest(self, place: int, is_reversed: bool, odometry: Pose) -> int:
        """The place that odometry is at, among the neighbours of the one believed in.

        Parameters
        ----------
        place, is_reversed : believed in.
        """
        carried = self._anchor.carried(odometry)
        if carried is None or not np.isfinite(self._places[place]):
            return place
        (position, heading), near = carried, self._motion.neighbours[place]
        away = np.abs(self._places[near] - position) ** 2
        away += (self._motion.spacing * np.abs(self._heading(near, is_reversed) - heading)) ** 2
        return int(near[away.argmin()])

    def _heading(self, places: int | np.ndarray, is_reversed: bool) -> np.ndarray:
        """Directions in which a robot at these places faces, complex numbers of length 1."""
        return self._headings[places] * (-1 if is_reversed else 1)
