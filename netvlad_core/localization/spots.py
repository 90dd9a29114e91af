"""Places of several drives at one spot: one place, with several appearances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.geometry import rotation_between
from netvlad_core.mapping.places import Places

# Cameras turned further than this see different things; of the nearest spots as many are compared.
_TURNED = np.radians(45.0)
_NEAREST = 8


@dataclass(frozen=True, eq=False)
class Spots:
    """Which places of a map show one spot.

    Attributes
    ----------
    of : (N,) int64, the spot of each place.
    first : (S,) int64, the first place of each spot, which stands for its pose.
    """

    of: np.ndarray
    first: np.ndarray

    @classmethod
    def of_map(cls, places: Places, spacing: float) -> Spots:
        """A place joins the nearest spot of an earlier drive, at most a spacing away and facing the same way.

        Places of one drive are never joined, so each place of a map of one drive is a spot.
        """
        own = np.arange(len(places))
        spot_of, first = own.copy(), own[places.sessions == places.sessions.min()]
        for session in np.unique(places.sessions)[1:]:
            rows = own[places.sessions == session]
            near = nearest(places.poses[rows], places.poses[first], spacing)
            spot_of[rows] = np.where(near < 0, rows, first[near])
            first = np.concatenate([first, rows[near < 0]])
        first = np.sort(first)
        return cls(np.searchsorted(first, spot_of), first)

    def best_views(self, ranked: np.ndarray) -> np.ndarray:
        """Of places (K,) int, best first, the indices of those that are the best of their spot."""
        if len(self.first) == len(self.of):  # one view a spot, as in a map of one drive
            return np.arange(len(ranked))
        return np.sort(np.unique(self.of[ranked], return_index=True)[1])


def nearest(poses: np.ndarray, spots: np.ndarray, radius: float) -> np.ndarray:
    """For each pose (M, 7) the nearest one of (S, 7) within the radius that faces the same way, or -1."""
    found = np.full(len(poses), -1)
    has_pose = np.flatnonzero(np.isfinite(poses[:, 0]))
    known = np.flatnonzero(np.isfinite(spots[:, 0]))
    if not len(has_pose) or not len(known):
        return found
    most = min(_NEAREST, len(known))
    distances, rows = cKDTree(spots[known, :3]).query(poses[has_pose, :3], most)
    distances, rows = distances.reshape(-1, most), known[rows.reshape(-1, most)]
    turns = rotation_between(spots[rows, 3:], poses[has_pose, None, 3:])
    fits = (distances <= radius) & (turns <= _TURNED)
    found[has_pose] = np.where(fits.any(axis=1), rows[np.arange(len(rows)), fits.argmax(axis=1)], -1)
    return found
