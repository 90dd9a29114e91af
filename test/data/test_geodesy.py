"""Metres from degrees, against published values and another way of reckoning."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geodesy import (
    east_north_up,
    ecef_from_geodetic,
    frame_at,
    geodetic_from_enu,
    headings_of_travel,
)


def test_ecef_at_the_axes_of_the_ellipsoid():
    geodetic = np.array([[0.0, 0.0, 0.0], [0.0, 90.0, 10.0], [90.0, 0.0, 0.0]])
    expected = [[6378137.0, 0, 0], [0, 6378147.0, 0], [0, 0, 6356752.314245]]
    np.testing.assert_allclose(ecef_from_geodetic(geodetic), expected, atol=1e-6)


@pytest.mark.parametrize("latitude", [-60.0, 0.0, 48.137, 70.0])
def test_small_steps_follow_the_radii_of_curvature(latitude):
    """A thousandth of a degree north is the meridian's radius times the angle, east the parallel's."""
    a, e2 = 6378137.0, 0.00669437999014
    w = np.sqrt(1 - e2 * np.sin(np.radians(latitude)) ** 2)
    north = np.radians(1e-3) * a * (1 - e2) / w**3
    east = np.radians(1e-3) * a / w * np.cos(np.radians(latitude))
    origin = np.array([latitude, 11.575, 520.0])
    steps = np.diag([1e-3, 1e-3, 7.0])
    found = east_north_up(origin + steps, origin)
    height_scale = 1 + 520.0 / a
    np.testing.assert_allclose(found[0], [0, north * height_scale, 0], atol=0.01)
    np.testing.assert_allclose(found[1], [east * height_scale, 0, 0], atol=0.01)
    np.testing.assert_allclose(found[2], [0, 0, 7.0], atol=1e-6)


def test_origin_is_zero():
    origin = np.array([48.0, 11.0, 500.0])
    np.testing.assert_allclose(east_north_up(origin[None], origin), 0, atol=1e-9)


@pytest.mark.parametrize("latitude", [-89.9, -33.0, 0.0, 48.0, 89.9])
def test_the_way_back_to_degrees(latitude):
    origin = np.array([latitude, 179.5, 500.0])
    positions = np.array([[0.0, 0, 0], [10_000, -20_000, 300], [-5, 3, -8000]])
    geodetic = geodetic_from_enu(positions, origin)
    assert (np.abs(geodetic[:, 1]) <= 180).all()
    np.testing.assert_allclose(east_north_up(geodetic, origin), positions, atol=1e-6)


def test_frames_at_two_origins_have_the_same_points():
    one, other = np.array([48.0, 11.0, 500.0]), np.array([48.3, 11.4, 200.0])
    points = np.array([[48.2, 11.3, 600.0], [48.1, 11.0, 0.0]])
    joint = frame_at(one, other)
    carried = joint.rotation.apply(east_north_up(points, other)) + joint.position
    np.testing.assert_allclose(carried, east_north_up(points, one), atol=1e-6)
    assert np.linalg.norm(joint.rotation.as_rotvec()) > 0.005, "up is elsewhere 45 km away"


def test_heading_of_travel_is_kept_while_standing():
    positions = np.array(
        [[0, 0], [0.2, 0.1], [2, 0], [2.1, -0.2], [1.9, 0.3], [2, 3], [2, 3], [0, 3]], dtype=float
    )
    degrees = np.degrees(headings_of_travel(positions))
    np.testing.assert_allclose(degrees, [0, 0, 0, 0, 0, 90, 90, 180], atol=1e-9)


def test_first_heading_holds_from_the_start():
    positions = np.array([[0, 0], [0, 0.3], [0, 1.5]])
    np.testing.assert_allclose(headings_of_travel(positions), np.pi / 2)


def test_who_never_moves_looks_east():
    np.testing.assert_array_equal(headings_of_travel(np.zeros((3, 2))), 0)
    assert len(headings_of_travel(np.zeros((0, 2)))) == 0
