"""Each drive of a map as a route: its places one after the other, for navigation from place to place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import yaw_of
from netvlad_core.mapping.places import Places


@dataclass(frozen=True)
class RoutePlace:
    """A place of a route.

    Attributes
    ----------
    session : the drive, a number of `Places.sessions`.
    index : 0 to count - 1, in the order of the drive.
    count : places of the drive.
    distance : metres along the drive from its first place; NaN in a drive that has places without a pose.
    heading : direction of the drive at the place, radians about +z; NaN likewise.
    """

    session: int
    index: int
    count: int
    distance: float
    heading: float


class Routes:
    """The routes of a map, by place.

    Parameters
    ----------
    places : in the order of driving, those of each session for themselves.
    """

    def __init__(self, places: Places) -> None:
        self._sessions = places.sessions
        self._counts = np.bincount(places.sessions)
        self._indices = np.empty(len(places), np.int64)
        self._distances, self._headings = np.empty(len(places)), np.empty(len(places))
        for session, count in enumerate(self._counts):
            rows = np.flatnonzero(places.sessions == session)
            poses = np.asarray(places.poses[rows], np.float64)
            self._indices[rows] = np.arange(count)
            self._distances[rows], self._headings[rows] = _way(poses)

    def __getitem__(self, place: int) -> RoutePlace:
        session = int(self._sessions[place])
        return RoutePlace(
            session,
            int(self._indices[place]),
            int(self._counts[session]),
            float(self._distances[place]),
            float(self._headings[place]),
        )


def _way(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres driven (N,) and headings (N,) radians along poses (N, 7)."""
    if not np.isfinite(poses).all():
        return np.full(len(poses), np.nan), np.full(len(poses), np.nan)
    steps = np.diff(poses[:, :3], axis=0)
    driven = np.concatenate([np.zeros(min(1, len(poses))), np.linalg.norm(steps, axis=1).cumsum()])
    ways = np.gradient(poses[:, :2], axis=0) if len(poses) > 1 else np.zeros((len(poses), 2))
    stands = ~ways.any(axis=1)  # or turns back: the robot's own heading says more
    return driven, np.where(stands, yaw_of(poses[:, 3:]), np.arctan2(ways[:, 1], ways[:, 0]))
