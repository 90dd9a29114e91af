"""How a car moves along a route: where its base_link is at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from scipy.spatial.transform import Rotation

from town.route import STEP, Route

SIDE_ACCELERATION = 3.0  # m/s^2 that a driver accepts in a bend
PULL_AWAY = 1.2  # m/s^2 around a stop
CREEP = 0.4  # m/s, the least speed of a moving car


@dataclass(frozen=True)
class Manner:
    """A way to drive.

    Attributes
    ----------
    speed, surge : m/s on a straight street, and the share of it by which the speed comes and goes.
    lane_offset, wobble : metres to the left of the centre line, and the amplitude by which that varies.
    sway : radians, the size of pitch and roll.
    pauses : (metres along the route, seconds) of each stop.
    """

    speed: float = 8.0
    surge: float = 0.0
    lane_offset: float = -1.75
    wobble: float = 0.0
    sway: float = 0.0
    pauses: tuple[tuple[float, float], ...] = ()


class Motion:
    """The pose of base_link (x forward, y left, z up, on the ground) over time, in seconds from the start."""

    def __init__(
        self, route: Route, manner: Manner, start: float, length: float, rng: np.random.Generator
    ) -> None:
        self._route, self._manner = route, manner
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        self._along = start + np.arange(0.0, length + STEP, STEP)
        speed = manner.speed * (
            1.0 + manner.surge * np.sin(2 * np.pi * self._along / 130.0 + self._phases[0])
        )
        speed = np.minimum(speed, np.sqrt(SIDE_ACCELERATION / (np.abs(route.curvature(self._along)) + 1e-6)))
        slowest = minimum_filter1d(
            speed, int(10.0 / STEP), mode="nearest"
        )  # brake before the bend, not in it
        speed = gaussian_filter1d(slowest, 3.0 / STEP, mode="nearest")
        for place, _ in manner.pauses:
            speed = np.minimum(speed, np.sqrt(2 * PULL_AWAY * np.abs(self._along - place)))
        interval = STEP / np.maximum(speed[:-1], CREEP)
        for place, seconds in manner.pauses:
            if self._along[0] < place < self._along[-1]:
                interval[int((place - start) / STEP)] += seconds
        self._times = np.concatenate([[0.0], np.cumsum(interval)])
        self.duration = float(self._times[-1])

    def pose(self, time: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Positions (..., 3) in metres and quaternions (..., 4) x y z w of base_link in the map."""
        along = np.interp(time, self._times, self._along)
        drift = np.sin(2 * np.pi * along / 47.0 + self._phases[1]) + 0.5 * np.sin(
            2 * np.pi * along / 17.0 + self._phases[2]
        )
        flat = self._route.pose(along, self._manner.lane_offset + self._manner.wobble * drift)
        roll = self._manner.sway * np.sin(2 * np.pi * along / 9.0 + self._phases[3])
        pitch = self._manner.sway * np.sin(2 * np.pi * along / 6.1 + self._phases[4])
        position = np.concatenate([flat[..., :2], np.zeros_like(flat[..., :1])], axis=-1)
        return position, Rotation.from_euler("ZYX", np.stack([flat[..., 2], pitch, roll], axis=-1)).as_quat()
