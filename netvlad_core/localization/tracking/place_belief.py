"""Where on the map, if it is on it? The belief of a discrete Bayes filter over the places.

Every place has a probability, facing along or against its heading: a background that all places share and an
excess of the few that matched lately, so an update costs about the same in a map of any size.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion, numbered

# Numbers without a word on what was tried are by design; their neighbours were not tried.
# Share of the background below which an excess is dropped: bound of time.
_NEGLIGIBLE = 0.05
# Without odometry the speed is one of these shares of the usual one, forward or backward. Between two images
# it seldom changes to the next one, and the direction more seldom. Half to twice the usual speed is covered.
_SPEEDS = (0.5, 0.71, 1.0, 1.41, 2.0)
_SPEED_CHANGE = 0.05
_DIRECTION_CHANGE = 0.02
_NEXT = np.eye(len(_SPEEDS), k=1) + np.eye(len(_SPEEDS), k=-1)
_CHANGES = (1 - _SPEED_CHANGE) * np.eye(len(_SPEEDS)) + _SPEED_CHANGE * _NEXT / _NEXT.sum(axis=0)  # (V, V)
# Least share of a belief that stays on the map in a movement while the robot does.
_STAYS = 0.5

ALONG, AGAINST = 0, 1  # the heading of a place
EITHER = slice(None)


class PlaceBelief:
    """Probabilities of the places of a map, which together are 1.

    Parameters
    ----------
    motion : the places.
    against : prior probability that the robot faces against the heading of a place.
    """

    def __init__(self, motion: PlaceMotion, against: float) -> None:
        self.motion = motion
        self._count = len(motion.positions)
        self.spread_out(against)

    def copy(self) -> PlaceBelief:
        """The same belief, which goes its own way from here."""
        copied = copy(self)
        for name in ("_prior", "_background", "_held", "_excess"):
            setattr(copied, name, getattr(self, name).copy())
        return copied

    def spread_out(self, against: float) -> None:
        """Start anew: the robot may be anywhere."""
        # First axis: along and against the heading; second: speeds, if they are guessed; third: places held.
        self._prior = np.array([1 - against, against]) / self._count
        self._background = self._prior.copy()
        self._held = np.empty(0, np.int64)
        self._excess = np.zeros((2, 1, 0))

    def prefer(self, shares: np.ndarray, heading: int) -> None:
        """Begin with an excess at each place of these shares (N,) of the background."""
        self._held = np.flatnonzero(shares >= _NEGLIGIBLE)
        self._excess = np.zeros((2, 1, len(self._held)))
        self._excess[heading, 0] = self._background.sum() * shares[self._held]
        self._normalize()

    def move(self, motion: Motion, leak: float) -> float:
        """Prediction: the excess moves along the map, and some leaks to all places.

        Returns
        -------
        How much of it has stayed on the map, 1 for as much as does in the midst of it.
        """
        speeds = _SPEEDS if motion.is_guess else (1.0,)
        excess = self._excess
        if excess.shape[1] != len(speeds):
            excess = np.repeat(excess.sum(axis=1, keepdims=True) / len(speeds), len(speeds), axis=1)
        moved = self._moved(excess, [motion.at(speed) for speed in speeds])
        if motion.is_guess:
            moved = _CHANGES @ moved
            moved = (1 - _DIRECTION_CHANGE) * moved + _DIRECTION_CHANGE * moved[::-1]
        self._excess = (1 - leak) * moved
        self._background *= 1 - leak
        missing = 1 - self._excess.sum() - self._background.sum() * self._count
        self._background += missing * self._prior
        held = excess.sum()
        return min(1.0, float(moved.sum() / (_STAYS * held))) if held > 0 else 1.0

    def weigh(self, places: np.ndarray, likelihood: np.ndarray | float, headings: slice = EITHER) -> None:
        """Correction: multiply the probability of places (C,) by a likelihood (C,), at least 1 each."""
        rows = self._hold(places)
        excess, background = self._excess[headings], self._background_of_each[headings]
        excess[:, :, rows] = (background + excess[:, :, rows]) * likelihood - background
        self._normalize()

    def probabilities(self) -> np.ndarray:
        """(N,) float, probability of each place; but for traces they sum to 1."""
        probabilities = np.full(self._count, self._background.sum())
        probabilities[self._held] += self._excess.sum(axis=(0, 1))
        return probabilities

    @property
    def best(self) -> tuple[int, int]:
        """Heading and place of the highest probability."""
        if not len(self._held):
            return ALONG, 0
        excess = self._excess.sum(axis=1)
        heading, row = np.unravel_index(int(np.argmax(excess)), excess.shape)
        return int(heading), int(self._held[row])

    def lead(self, place: int, radius: float) -> float:
        """Log-odds by which the best place within metres of one leads over every other one."""
        is_near = self.motion.distances_to(place, self._held) <= radius
        heights = np.log1p(self._excess.sum(axis=(0, 1)) / self._background.sum())
        rival = float(heights[~is_near].max(initial=0.0))
        return float(heights[is_near].max(initial=0.0)) - rival

    def _hold(self, places: np.ndarray) -> np.ndarray:
        """Make room for the excess of these places too; returns their rows."""
        before, excess = self._held, self._excess
        self._held, row_of = numbered(np.concatenate([before, places]), self._count)
        self._excess = np.zeros((*excess.shape[:2], len(self._held)))
        self._excess[:, :, row_of[before]] = excess
        return row_of[places]

    @property
    def _background_of_each(self) -> np.ndarray:
        """(2, 1, 1) probability of a place with each heading, at each speed, beside the excess."""
        return (self._background / self._excess.shape[1])[:, None, None]

    def _normalize(self) -> None:
        """Make the sum of all probability 1, and let go of places with next to none beyond the background."""
        total = self._excess.sum() + self._background.sum() * self._count
        self._excess /= total
        self._background /= total
        self._excess[self._excess < _NEGLIGIBLE * self._background_of_each] = 0.0
        is_held = self._excess.any(axis=(0, 1))
        self._held, self._excess = self._held[is_held], self._excess[:, :, is_held]

    def _moved(self, excess: np.ndarray, motions: list[Motion]) -> np.ndarray:
        """The excess (2, V, H) after a movement at each speed, at the places that are held from now on."""
        arrivals = {}
        for way in np.ndindex(excess.shape[:2]):
            heading, speed = way
            rows = np.flatnonzero(excess[way])
            places, probability = self._held[rows], excess[way][rows]
            arrivals[way] = self.motion.move(places, probability, motions[speed], bool(heading))
        self._held, row_of = numbered(np.concatenate([ends for ends, _ in arrivals.values()]), self._count)
        moved = np.zeros((*excess.shape[:2], len(self._held)))
        for way, (ends, probability) in arrivals.items():
            moved[way][row_of[ends]] = probability
        return moved
