"""Where the frame of odometry lies on the map, from what was believed of the last positions.

What is believed of one image is off by metres; odometry is exact from one image to the next and drifts over a
long way. The rigid movement in the plane that carries the odometry of the last way onto the positions
believed in then has the best of both, and it moves on with every image.

Positions in the plane are complex numbers: the movement is m = M + r (o - O) with |r| = 1, where M and O are
weighted means. The r that minimises the squared distances is the direction of the sum of (m - M) conj(o - O)
(Umeyama, 1991, in two dimensions); headings count like two positions a scale apart.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.data.geometry import Pose

# Scales after which a position counts 1/e. 3 and 6 tried, with the spacing as scale: with 3 the position is a
# quarter less exact, with 6 odometry that is a twentieth too long and turns by 17 degrees in 100 m does no
# harm yet.
_MEMORY = 6.0
# Scales between a position and odometry beyond which one of them is wrong, and the share of all before that
# is kept then; and those beyond which the robot was carried. Places off the map are named at random: with
# 0.7 as share the first image behind an unmapped part of the loop is named wrongly.
_FAR, _LAPSE = 1.25, 0.5
_CARRIED = 3.0


class OdometryAnchor:
    """The movement from odometry to the map.

    Parameters
    ----------
    scale : metres by which a position may well be wrong.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.forget()

    def forget(self) -> None:
        """Start anew: odometry was interrupted, or the robot carried."""
        self._origins = np.zeros(2, complex)  # of map and odometry, for the sake of digits
        # Of weights, of positions m, of odometry o, of m conj(o), and of headings less those of odometry.
        self._sums = np.zeros(5, complex)

    def add(self, at: complex, heading: complex, odometry: Pose, way: float, weight: float) -> None:
        """Take it that the robot was at a position.

        Parameters
        ----------
        at, heading : in the map, seen from above; the heading has length 1.
        odometry : odom <- base_link.
        way : since the last one, in scales.
        weight : of this one, besides what it loses to those that follow.
        """
        driven, kept = planar(odometry.position), np.exp(-way / _MEMORY)
        if self._sums[0]:
            apart = abs(self._carried(driven) - at) / self.scale
            if apart > _CARRIED:
                self.forget()
            elif apart > _FAR:
                kept *= _LAPSE
        if not self._sums[0]:
            self._origins = np.array([at, driven])
        at, driven = np.array([at, driven]) - self._origins
        turned = heading * np.exp(-1j * odometry.yaw)
        self._sums = kept * self._sums + weight * np.array([1.0, at, driven, at * np.conj(driven), turned])

    def carried(self, odometry: Pose) -> tuple[complex, complex] | None:
        """Position and heading in the map that odometry comes to; None before the first position."""
        if not self._sums[0]:
            return None
        return self._carried(planar(odometry.position)), self._turn * complex(np.exp(1j * odometry.yaw))

    @property
    def _turn(self) -> complex:
        weight, at, driven, product, turned = self._sums
        sum_of_products = product - at * np.conj(driven) / weight + self.scale**2 * turned
        return complex(sum_of_products / max(abs(sum_of_products), 1e-12))

    def _carried(self, driven: complex) -> complex:
        weight, at, mean, _, _ = self._sums
        along = driven - self._origins[1] - mean / weight
        return complex(self._origins[0] + at / weight + self._turn * along)


def planar(position: np.ndarray) -> complex:
    """A position (3,) seen from above."""
    return complex(position[0], position[1])
