"""How probability moves between the places of a map when the robot moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.geometry import Pose, yaw_of
from netvlad_core.mapping.statistics import median_spacing

# Numbers without a word on what was tried are by design; their neighbours were not tried.
# Places reached in one step; longer ways take several. Bound of time.
_NEIGHBOURS = 16
_REACH = 0.6  # of the distance to the farthest neighbour: a step must not end beyond all of them
_MOST_STEPS = 20
# A step has stayed on the map if the places around its end weigh this share of what those along a street do.
# Without this rule belief would pile up on the last place of a street, which nothing leads away from.
_ON_MAP = 0.8
# In a gap between places a step still counts as on the map within two standard deviations of either end.
_BETWEEN = float(np.exp(-0.5 * 2.0**2))


@dataclass(frozen=True)
class Motion:
    """A movement of the robot, as seen from where it started.

    Attributes
    ----------
    displacement : (3,) metres, x along the heading at the start, z up.
    turn : radians about z.
    distance_sigma, turn_sigma : standard deviations, metres and radians.
    is_guess : whether odometry is missing, so that the direction is unknown too.
    """

    displacement: np.ndarray
    turn: float
    distance_sigma: float
    turn_sigma: float
    is_guess: bool = False

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.displacement))

    def at(self, speed: float) -> Motion:
        """The same movement at a multiple of its speed."""
        return replace(
            self, displacement=speed * self.displacement, distance_sigma=speed * self.distance_sigma
        )

    @classmethod
    def between(cls, before: Pose, after: Pose, share: float, turn_sigma: float) -> Motion:
        """Movement from one odometry pose to another, uncertain by a share of its length."""
        displacement = along_heading(after.position - before.position, before.yaw)
        turn = float(wrapped(after.yaw - before.yaw))
        length = float(np.linalg.norm(displacement))
        return cls(displacement, turn, share * length, float(np.hypot(turn_sigma, share * turn)))


class PlaceMotion:
    """The places as a graph of near neighbours, along which probability moves.

    Parameters
    ----------
    poses : (N, 7) float, x y z qx qy qz qw. No movement leads to places without a finite pose. A map without
        poses becomes a line, a metre from place to place.

    Attributes
    ----------
    positions : (N, 3) float64, metres; NaN without a pose.
    headings : (N,) float64, radians about z.
    spacing : median distance between consecutive places, metres.
    has_poses : False for the line.
    """

    def __init__(self, poses: np.ndarray) -> None:
        posed = np.isfinite(poses).all(axis=1)
        self.has_poses = bool(posed.any())
        if not self.has_poses:
            poses = np.tile([0.0, 0, 0, 0, 0, 0, 1], (len(poses), 1))
            poses[:, 0] = np.arange(len(poses))
            posed = np.ones(len(poses), bool)
        self.positions = np.array(poses[:, :3], dtype=np.float64)
        # A robot that waits must not make the motion model stand still.
        self.spacing = median_spacing(self.positions[posed], counts_stops=False) or 1.0
        yaws = np.where(posed, _headings(np.where(posed[:, None], poses, 0.0), self.positions), 0.0)
        self.headings = yaws
        self._connect(np.flatnonzero(posed))

    def _connect(self, posed: np.ndarray) -> None:
        yaws = self.headings
        count = len(self.positions)
        near = min(_NEIGHBOURS, len(posed))
        distances, rows = cKDTree(self.positions[posed]).query(self.positions[posed], near)
        distances, rows = distances.reshape(len(posed), near), rows.reshape(len(posed), near)
        self.neighbours = np.zeros((count, near), np.int64)
        self.neighbours[posed] = posed[rows]
        self.reach = max(self.spacing, _REACH * float(np.median(distances[:, -1])))
        # From each place to its neighbours, along its heading: (3, N, K) metres and (N, K) radians.
        here = np.arange(count)[:, None]
        ways = along_heading(self.positions[self.neighbours] - self.positions[here], yaws[:, None])
        self.displacements = np.nan_to_num(np.moveaxis(ways, -1, 0), nan=np.inf).astype(np.float32, order="C")
        self.turns = wrapped(yaws[self.neighbours] - yaws[here]).astype(np.float32)

    @property
    def farthest(self) -> float:
        """Metres in one movement beyond which nothing is predicted."""
        return _MOST_STEPS * self.reach

    def distances_to(self, place: int, places: np.ndarray | slice | int = slice(None)) -> np.ndarray:
        """Metres from places (all by default) to one; NaN without a pose."""
        ways = self.positions[places] - self.positions[place]
        return np.sqrt(np.einsum("...a,...a->...", ways, ways))

    def move(
        self, places: np.ndarray, probability: np.ndarray, motion: Motion, is_reversed: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move probability along; what is then missing from its sum has left the map.

        Parameters
        ----------
        places, probability : (H,) int64 and float64, the places that have any.
        is_reversed : whether the robot faces against the heading of the places.

        Returns
        -------
        Places (M,), ascending, and their probability (M,).
        """
        steps = self.steps(motion)
        displacement, turn = self.step(motion, steps, is_reversed)
        # The places tell positions apart no finer than half of their spacing.
        distance_sigma = np.hypot(motion.distance_sigma / np.sqrt(steps), 0.5 * self.spacing)
        step = Motion(displacement, turn, distance_sigma, motion.turn_sigma / np.sqrt(steps))
        for _ in range(steps):
            places, probability = self._step(places, probability, step)
        return places, probability

    def steps(self, motion: Motion) -> int:
        """Number of steps in which a movement goes from neighbour to neighbour."""
        return int(np.clip(np.ceil(motion.length / self.reach), 1, _MOST_STEPS))

    @staticmethod
    def step(motion: Motion, steps: int, is_reversed: bool) -> tuple[np.ndarray, float]:
        """One of the equal steps of a movement: (3,) float32 metres in the frame of a place, and radians."""
        share = 1.0 / steps
        # Steps of an arc point where each of them starts, not where the whole arc does.
        displacement = share * along_heading(motion.displacement, 0.5 * motion.turn * (1 - share))
        if is_reversed:
            displacement *= [-1, -1, 1]
        return displacement.astype(np.float32), share * motion.turn

    def _step(
        self, places: np.ndarray, probability: np.ndarray, step: Motion
    ) -> tuple[np.ndarray, np.ndarray]:
        misses = self.displacements[:, places] - step.displacement[:, None, None]
        errors = np.einsum("aik,aik->ik", misses, misses) / step.distance_sigma**2
        errors += (wrapped(self.turns[places] - step.turn) / step.turn_sigma) ** 2
        weights = np.exp(-0.5 * errors)
        along_a_street = np.sqrt(2 * np.pi) * step.distance_sigma / self.spacing
        all_around = weights.sum(axis=1)
        is_beyond = np.einsum("aik,a->ik", misses, step.displacement) > 0
        beyond = np.where(is_beyond, weights, 0.0).sum(axis=1)
        # 1 half-way between places that the street leads to and from, 0 past its end.
        between = 2 * np.minimum(beyond, all_around - beyond) / np.maximum(all_around, 1e-30)
        least = np.maximum(_BETWEEN, _ON_MAP * along_a_street * (1 - between))
        total = np.maximum(all_around, least)
        moved = weights * (probability / total)[:, None]
        arrivals = self.neighbours[places].ravel()
        ends, row_of = numbered(arrivals, len(self.positions))
        return ends, np.bincount(row_of[arrivals], moved.ravel(), len(ends))


def numbered(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each of some places once, ascending (M,), and the row of each of them in that, (count,), else void.

    Takes the time of `places`, not of all: memory that is never touched costs nothing.
    """
    occurs = np.zeros(count, bool)
    occurs[places] = True
    found = np.flatnonzero(occurs)
    row_of = np.empty(count, np.int32)
    row_of[found] = np.arange(len(found))
    return found, row_of


def _headings(poses: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Yaw of each place, radians; the direction of travel if all places have one and the same rotation."""
    yaws = yaw_of(poses[:, 3:])
    finite = np.isfinite(positions).all(axis=1)
    if np.ptp(yaws[finite]) > 0 or finite.sum() < 2:
        return yaws
    ways = np.gradient(positions[finite, :2], axis=0)
    yaws = yaws.copy()
    yaws[finite] = np.arctan2(ways[:, 1], ways[:, 0])
    return yaws


def along_heading(ways: np.ndarray, yaw: np.ndarray | float) -> np.ndarray:
    """Turn (..., 3) vectors of the map into frames with these headings."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = ways[..., 0], ways[..., 1], ways[..., 2]
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=-1)


def wrapped(angles: np.ndarray | float) -> np.ndarray:
    """Angles in [-pi, pi]."""
    return angles - 2 * np.pi * np.rint(np.asarray(angles) / (2 * np.pi))
