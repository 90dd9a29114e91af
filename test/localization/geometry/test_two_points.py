"""Poses of an upright camera from two points."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.localization.geometry.two_points import poses_from_two, soft_counts

_TRUE = np.array([0.4, 2.0, -1.0, 1.5])  # heading, x, y, z


def _scene(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([6, -8, 0], [30, 8, 6], (count, 3))


def _rays(scene: np.ndarray, pose: np.ndarray = _TRUE) -> np.ndarray:
    """Unit vectors from a camera to points, in a frame that is turned by its heading."""
    cos, sin = np.cos(pose[0]), np.sin(pose[0])
    x, y, z = (scene - pose[1:]).T
    rays = np.column_stack([cos * x + sin * y, cos * y - sin * x, z])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def test_one_pose_of_each_pair_is_the_true_one() -> None:
    one, other = _scene(50), _scene(50, seed=1)
    for a, b in zip(one, other):
        poses = poses_from_two(_rays(a[None]), _rays(b[None]), a[None], b[None])
        assert 1 <= len(poses) <= 2
        assert np.abs(poses - _TRUE).max(axis=1).min() < 1e-6


def test_points_behind_the_camera_or_above_each_other_give_none() -> None:
    a, b = np.array([[10.0, 0, 2]]), np.array([[12.0, 3, 1]])
    assert not len(poses_from_two(-_rays(a), -_rays(b), a, b))
    above = a + np.array([0.0, 0, 2])
    assert not len(poses_from_two(_rays(a), _rays(above), a, above))


@pytest.mark.parametrize("shift", [[0.2, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
def test_most_matches_agree_with_the_true_pose(shift: list[float]) -> None:
    scene = _scene(200)
    rays, weights = _rays(scene), np.ones(200)
    rays[:100] = _rays(_scene(100, seed=2))  # half of the matches are wrong
    true, other = soft_counts(np.stack([_TRUE, _TRUE + shift]), rays, scene, weights, 0.02)
    assert 95 < true < 110
    assert other < 0.6 * true
    half = soft_counts(_TRUE[None], rays, scene, 0.5 * weights, 0.02)
    assert half == pytest.approx(0.5 * true, rel=1e-3)
