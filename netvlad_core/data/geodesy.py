"""Latitude and longitude, and metres in local east-north-up frames, on the WGS84 ellipsoid."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose

_SEMI_MAJOR_AXIS = 6378137.0  # metres
_FLATTENING = 1 / 298.257223563
_ECCENTRICITY_SQUARED = _FLATTENING * (2 - _FLATTENING)
_ROUNDS = 8  # each takes more than two digits of the error


def ecef_from_geodetic(geodetic: np.ndarray) -> np.ndarray:
    """Earth-centred, earth-fixed coordinates (N, 3) in metres of degrees and metres as in `east_north_up`."""
    (latitude, longitude), height = np.radians(geodetic[:, :2]).T, geodetic[:, 2]
    normal = _SEMI_MAJOR_AXIS / np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    x = (normal + height) * np.cos(latitude) * np.cos(longitude)
    y = (normal + height) * np.cos(latitude) * np.sin(longitude)
    return np.column_stack([x, y, (normal * (1 - _ECCENTRICITY_SQUARED) + height) * np.sin(latitude)])


def east_north_up(geodetic: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Positions (N, 3) in metres east, north and up of an origin, in the plane that touches the earth there.

    Parameters
    ----------
    geodetic, origin : (N, 3) and (3,): latitude, longitude in degrees, metres above the ellipsoid.
    """
    return (ecef_from_geodetic(geodetic) - ecef_from_geodetic(origin[None])) @ _axes(origin).T


def geodetic_from_enu(positions: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Undo `east_north_up`: degrees and metres (N, 3) of positions (N, 3)."""
    x, y, z = (positions @ _axes(origin) + ecef_from_geodetic(origin[None])).T
    across = np.hypot(x, y)
    latitude = np.arctan2(z, across * (1 - _ECCENTRICITY_SQUARED))
    for _ in range(_ROUNDS):
        sine = np.sin(latitude)
        normal = _SEMI_MAJOR_AXIS / np.sqrt(1 - _ECCENTRICITY_SQUARED * sine**2)
        latitude = np.arctan2(z + _ECCENTRICITY_SQUARED * normal * sine, across)
    root = np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    height = across * np.cos(latitude) + z * np.sin(latitude) - _SEMI_MAJOR_AXIS * root
    return np.column_stack([np.degrees(latitude), np.degrees(np.arctan2(y, x)), height])


def frame_at(origin: np.ndarray, other: np.ndarray) -> Pose:
    """East-north-up frame of an origin <- that of another one, both (3,) as in `east_north_up`."""
    return Pose(
        east_north_up(other[None], origin)[0], Rotation.from_matrix(_axes(origin) @ _axes(other).T).as_quat()
    )


def _axes(origin: np.ndarray) -> np.ndarray:
    """East, north and up at an origin as rows (3, 3), in the earth-centred frame."""
    latitude, longitude = np.radians(origin[:2])
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    sin_lon, cos_lon = np.sin(longitude), np.cos(longitude)
    return np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )


def headings_of_travel(positions: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Direction in which each position (N, 2) was reached: (N,) float64, radians from +x counter-clockwise.

    A heading is kept until the body has moved `step` metres, since noise while standing gives none. It is 0
    if the body never moved.
    """
    headings = np.full(len(positions), np.nan)
    heading, anchor = np.nan, positions[0] if len(positions) else None
    for row, position in enumerate(positions):
        east, north = position - anchor
        if np.hypot(east, north) >= step:
            heading, anchor = np.arctan2(north, east), position
        headings[row] = heading
    known = headings[~np.isnan(headings)]
    return np.nan_to_num(headings, nan=known[0] if len(known) else 0.0)
