"""Points from places whose poses are known, and the pose of a query from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import match_features
from netvlad_core.geometry.structure import View, triangulate
from netvlad_core.localization.geometry.resection import resect
from netvlad_core.localization.pose_prior import PoseEstimate
from support.scene import CAMERA, look, scattered

# A map far from its origin, turned.
_MAP = Pose.from_xyz_yaw(5000.0, -3000.0, 20.0, yaw=1.0)
_POINTS = _MAP.rotation.apply(scattered(300)) + _MAP.position
_PLACES = [_MAP @ Pose.from_xyz_yaw(x, 0.0) for x in (0.0, 2.0, -2.0, 4.0)]
_TRUE = _MAP @ Pose.from_xyz_yaw(0.7, 1.5, yaw=0.15)


def _views(noise: float) -> list[View]:
    return [
        View(look(_POINTS, pose, noise, seed=seed), CAMERA, pose)
        for seed, pose in enumerate(_PLACES, start=1)
    ]


def _resect(noise: float, wrong: float = 0.0, seed: int = 0) -> PoseEstimate | None:
    place, *others = _views(noise)
    query = look(_POINTS, _TRUE, noise, wrong, seed)
    matches = match_features(query, place.features)
    return resect(triangulate(place, others), matches, query, CAMERA)


def test_query_is_found_to_the_centimetre_without_noise() -> None:
    estimate = _resect(noise=0.0)
    assert estimate is not None
    assert np.linalg.norm(estimate.pose.position - _TRUE.position) < 0.01
    assert (estimate.pose.rotation.inv() * _TRUE.rotation).magnitude() < np.radians(0.05)


def test_wrong_matches_do_no_harm() -> None:
    estimate = _resect(noise=0.5, wrong=0.35)
    assert estimate is not None
    assert np.linalg.norm(estimate.pose.position - _TRUE.position) < 0.3


def test_errors_stay_inside_what_the_covariance_says() -> None:
    inside = []
    for seed in range(20):
        estimate = _resect(noise=0.7, seed=100 + seed)
        assert estimate is not None
        turn = (estimate.pose.rotation * _TRUE.rotation.inv()).as_rotvec()
        error = np.concatenate([estimate.pose.position - _TRUE.position, turn])
        inside.append(error @ np.linalg.solve(estimate.covariance, error) <= chi2.ppf(0.95, 6))
        np.testing.assert_array_equal(estimate.covariance, estimate.covariance.T)
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize("count", [0, 5])
def test_few_points_give_no_pose(count: int) -> None:
    place, *others = _views(noise=0.0)
    points = triangulate(place, others)
    points[np.flatnonzero(np.isfinite(points[:, 0]))[count:]] = np.nan
    query = look(_POINTS, _TRUE)
    assert resect(points, match_features(query, place.features), query, CAMERA) is None
