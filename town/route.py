"""A closed drive route: the smoothed centre line through a list of crossings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

STEP = 0.25  # metres between stored points
CORNER_SIGMA = 3.5  # metres; a right angle becomes a bend of about 5.5 m radius


@dataclass(frozen=True)
class Route:
    """A closed curve in the map's ground plane, sampled at equal steps of arc length.

    Attributes
    ----------
    points : (N, 2) metres; the curve closes from the last point back to the first.
    length : metres around the loop.
    """

    points: np.ndarray
    length: float

    @classmethod
    def through(cls, corners: np.ndarray) -> Route:
        """Round the closed polygon `corners` (M, 2) as a car would."""
        rough, _ = _resample(np.asarray(corners, float))
        smooth = gaussian_filter1d(rough, CORNER_SIGMA / STEP, axis=0, mode="wrap")
        return cls(*_resample(smooth))

    def pose(self, distance: np.ndarray | float, offset: np.ndarray | float = 0.0) -> np.ndarray:
        """Position and heading at `distance` metres along the route, `offset` metres to its left.

        Returns
        -------
        (..., 3) array of x, y (metres) and yaw (radians, unwrapped along `distance`).
        """
        ahead, behind = self._at(np.asarray(distance) + STEP), self._at(np.asarray(distance) - STEP)
        direction = ahead - behind
        yaw = np.arctan2(direction[..., 1], direction[..., 0])
        yaw = np.unwrap(yaw) if yaw.ndim else yaw
        left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=-1)
        return np.concatenate(
            [self._at(distance) + np.asarray(offset)[..., None] * left, yaw[..., None]], axis=-1
        )

    def curvature(self, distance: np.ndarray) -> np.ndarray:
        """1/metres, positive to the left."""
        turn = self.pose(distance + 1.0)[..., 2] - self.pose(distance - 1.0)[..., 2]
        return ((turn + np.pi) % (2 * np.pi) - np.pi) / 2.0

    def _at(self, distance: np.ndarray | float) -> np.ndarray:
        knots = np.arange(len(self.points)) * (self.length / len(self.points))
        return np.stack(
            [np.interp(distance, knots, axis, period=self.length) for axis in self.points.T], axis=-1
        )


def _resample(corners: np.ndarray) -> tuple[np.ndarray, float]:
    closed = np.vstack([corners, corners[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0.0, along[-1], round(along[-1] / STEP), endpoint=False)
    return np.stack([np.interp(at, along, axis) for axis in closed.T], axis=1), float(along[-1])
