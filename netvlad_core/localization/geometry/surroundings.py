"""What the places around one have seen: points in metres, how they look, and from where they were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import rotation_between
from netvlad_core.mapping.place_geometry import PlaceGeometry

# Places that see the same walls. Of 8, 10 and 12 places and metres, all found as many poses in the town; more
# cost time.
_AROUND, _MOST = 8.0, 8  # metres, places
_LARGEST_TURN = np.radians(45.0)  # places that look another way see other walls; not tuned
_ROWS_AROUND = 12  # rows of the map beside a match in which such places are looked for


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Points that some places of the map have seen.

    Attributes
    ----------
    origin : (3,) metres in the map frame; the points are relative to it, since maps far from their own
        origin, e.g. UTM, would cost digits.
    points : (N, 3) float64, metres.
    descriptors : (N, D) float32, L2-normalised.
    ends : (P,) int, rows at which the points of each place end.
    bases : (P, 3) metres, where the places' base_link was.
    up : (3,) mean direction of the map's z axis in the places' base_link, a unit vector.
    tilt, rise : by how much that direction (radians) and the height (metres) differ among the places, as root
        of the mean square.
    """

    origin: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray
    ends: np.ndarray
    bases: np.ndarray
    up: np.ndarray
    tilt: float
    rise: float

    def __len__(self) -> int:
        return len(self.points)


def around(geometry: PlaceGeometry, centre: int, matched: Sequence[int]) -> Surroundings:
    """What the places around `centre` have seen, those beside it and beside the other matches of an image."""
    count = len(geometry.places)
    windows = [np.arange(max(0, row - _ROWS_AROUND), min(count, row + _ROWS_AROUND + 1)) for row in
               (centre, *matched)]  # fmt: skip
    rows = np.unique(np.concatenate(windows))
    poses = np.asarray(geometry.places.poses[rows])
    origin, turn = np.array(geometry.places.poses[centre, :3]), geometry.places.poses[centre, 3:]
    away = np.linalg.norm(poses[:, :3] - origin, axis=1)
    fits = np.flatnonzero((away <= _AROUND) & (rotation_between(poses[:, 3:], turn) <= _LARGEST_TURN))
    fits = fits[np.argsort(away[fits], kind="stable")][:_MOST]
    points, descriptors, ends = [], [], []
    for row in rows[fits].tolist():
        is_known = np.isfinite(known := geometry.points_of(row))[:, 0]
        points.append(known[is_known] - origin)
        descriptors.append(geometry.features_of(row).descriptors[is_known])
        ends.append(int(is_known.sum()))
    ups = Rotation.from_quat(poses[fits, 3:]).inv().apply([0.0, 0.0, 1.0])
    up = ups.mean(axis=0) / np.linalg.norm(ups.mean(axis=0))
    bases = poses[fits, :3] - origin
    tilt = float(np.sqrt(np.mean(np.sum((ups - up) ** 2, axis=1))))
    return Surroundings(
        origin, np.vstack(points), np.vstack(descriptors), np.cumsum(ends), bases, up, tilt,
        float(bases[:, 2].std()),
    )  # fmt: skip
