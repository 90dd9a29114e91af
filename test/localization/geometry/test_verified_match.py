"""What geometry says of one image: where it was taken, near which place, and what it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.local_features import NO_FEATURES, LocalFeatures
from netvlad_core.localization.geometry.verification import (
    VerificationOptions,
    VerifiedMatch,
    Verifier,
    margin,
)
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.places import Match, Places
from support.scene import CAMERA, look, scattered

_RADIUS = 10.0
_POINTS = scattered(300)


class Street(Places):
    """Places whose features are known; the images themselves are not needed."""

    def __init__(self, at: list[Pose], camera: Camera | None = CAMERA) -> None:
        poses = np.array([[*pose.position, *pose.quaternion] for pose in at])
        super().__init__(np.zeros((len(at), 1), np.float32), np.arange(len(at)), poses, camera)


def _verify(street: Street, features: list[LocalFeatures], query: LocalFeatures) -> VerifiedMatch | None:
    verifier = Verifier(street, VerificationOptions(min_inliers=40))
    verifier._geometry._features.update(enumerate(features))
    matches = street.matches(np.arange(len(street)), np.full(len(street), 0.5))
    observation = Observation(0, np.zeros(1, np.float32), features=query)
    return verifier.see(observation, matches, _RADIUS).verified


def _seen(at: list[Pose], noise: float = 0.3) -> list[LocalFeatures]:
    return [look(_POINTS, pose, noise, seed=seed) for seed, pose in enumerate(at, start=1)]


_ALONG = [Pose.from_xyz_yaw(x, 0.0) for x in (-2.0, 0.0, 2.0)]


def test_pose_is_metric_between_places() -> None:
    true = Pose.from_xyz_yaw(0.7, 1.2, yaw=0.1)
    found = _verify(Street(_ALONG), _seen(_ALONG), look(_POINTS, true, 0.3))
    assert found is not None
    assert found.is_metric
    assert found.is_near
    assert found.inliers >= 40
    error = found.pose.position - true.position
    assert np.linalg.norm(error) < 0.4
    assert error @ np.linalg.solve(found.covariance[:3, :3], error) < chi2.ppf(0.99, 3)


def test_scene_without_the_points_that_the_place_is_known_by_is_none() -> None:
    """Equal houses of another street match the image of a place, but are not where its points are."""
    before, place, behind = _seen(_ALONG)
    known = 60  # points that the neighbours show, too, and the query does not
    before, behind = (look(_POINTS[:known], pose, 0.3) for pose in (_ALONG[0], _ALONG[2]))
    at = Pose.from_xyz_yaw(0.0, 3.0, yaw=0.15)
    query = look(_POINTS, at, 0.3)
    elsewhere = query.take(np.arange(len(look(_POINTS[:known], at, 0.3)), len(query)))
    assert _verify(Street(_ALONG), [before, place, behind], query) is not None
    assert _verify(Street(_ALONG), [before, place, behind], elsewhere) is None
    assert _verify(Street(_ALONG, camera=None), [before, place, behind], elsewhere) is not None


def test_place_without_neighbours_to_measure_from_is_confirmed_without_metres() -> None:
    query = look(_POINTS, Pose.from_xyz_yaw(0.0, 3.0, yaw=0.15), 0.3)
    found = _verify(Street(_ALONG[1:2]), _seen(_ALONG[1:2]), query)
    assert found is not None
    assert not found.is_metric


def test_without_calibration_the_place_is_all_that_is_known() -> None:
    true = Pose.from_xyz_yaw(0.5, 0.0)
    found = _verify(Street(_ALONG, camera=None), _seen(_ALONG), look(_POINTS, true, 0.3))
    assert found is not None
    assert not found.is_metric
    assert found.pose.position.tolist() == found.pose.position.round().tolist()  # that of a place
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(5.0)


def test_place_seen_from_afar_is_not_near() -> None:
    at = [Pose.from_xyz_yaw(0.0, 0.0)]
    found = _verify(Street(at, camera=None), _seen(at), look(_POINTS, Pose.from_xyz_yaw(-15.0, 0.0), 0.3))
    assert found is not None
    assert not found.is_near


def test_scene_that_stands_in_two_parts_of_the_map_is_none() -> None:
    at = [*_ALONG, Pose.from_xyz_yaw(300.0, 0.0)]
    features = [*_seen(_ALONG), look(_POINTS, _ALONG[1], 0.3, seed=9)]
    assert _verify(Street(at), features, look(_POINTS, Pose.from_xyz_yaw(0.7, 0.0), 0.3)) is None


def test_other_scene_and_missing_image_confirm_nothing() -> None:
    query = look(_POINTS, _ALONG[1], 0.3)
    assert _verify(Street(_ALONG), [NO_FEATURES] * 3, query) is None
    other = [look(scattered(300, seed=5), pose, 0.3, wrong=1.0) for pose in _ALONG]
    assert _verify(Street(_ALONG), other, query) is None


def test_margin_is_the_lead_over_other_parts_of_the_map() -> None:
    best, beside, rival = (
        Match(row, row, 0.5, Pose.from_xyz_yaw(x, 0.0), inliers)
        for row, x, inliers in ((0, 0.0, 64), (1, 15.0, 49), (2, 25.0, 16))
    )
    assert margin([best, beside], _RADIUS) == pytest.approx(0.5 * 8)
    assert margin([best, beside, rival], _RADIUS) == pytest.approx(0.5 * (8 - 4))
    nowhere = [Match(row, row, 0.5, None, inliers) for row, inliers in ((0, 64), (2, 16))]
    assert margin(nowhere, _RADIUS) == pytest.approx(0.5 * 8)
