"""The absolute trajectory error against cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from examples.slam_backend.trajectory_error import absolute_trajectory_error


def test_a_rigid_motion_is_no_error() -> None:
    true = np.random.default_rng(0).normal(size=(50, 3))
    moved = Rotation.from_euler("xyz", [0.2, -0.4, 2.0]).apply(true) + np.array([5, -3, 1])
    assert absolute_trajectory_error(moved, true) == pytest.approx(0, abs=1e-9)


def test_error_of_a_square_that_is_too_large() -> None:
    square = np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]], float)
    # Each corner is off by half the diagonal: no rigid motion brings them closer, and scale is not adjusted.
    assert absolute_trajectory_error(1.5 * square, square) == pytest.approx(0.5 * np.sqrt(2))


def test_a_mirrored_track_is_not_mirrored_back() -> None:
    track = np.array([[0, 0, 0], [4, 0, 0], [4, 1, 0], [4, 1, 2]], float)
    assert absolute_trajectory_error(track * np.array([1, 1, -1]), track) > 0.1
