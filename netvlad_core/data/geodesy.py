"""From latitude and longitude to metres in a local east-north-up frame, on the WGS84 ellipsoid."""

from __future__ import annotations

import numpy as np

_SEMI_MAJOR_AXIS = 6378137.0  # metres
_FLATTENING = 1 / 298.257223563
_ECCENTRICITY_SQUARED = _FLATTENING * (2 - _FLATTENING)


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
    latitude, longitude = np.radians(origin[:2])
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    sin_lon, cos_lon = np.sin(longitude), np.cos(longitude)
    axes = np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )
    return (ecef_from_geodetic(geodetic) - ecef_from_geodetic(origin[None])) @ axes.T


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
