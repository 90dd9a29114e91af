"""Two views of a scene that is known: motion, and the cases where there is none to be told."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures, find_features, match_features
from netvlad_core.geometry.two_views import Case, compare
from support.scene import CAMERA, MOUNTING, look, scattered
from support.street import street, view

_HERE = Pose.identity()
_BESIDE = Pose.from_xyz_yaw(1.0, 0.8, yaw=0.1)


@pytest.mark.parametrize("wrong", [0.0, 0.4])
def test_rotation_and_direction_of_the_query(wrong: float) -> None:
    points = scattered(300)
    views = compare(look(points, _BESIDE, 0.3, wrong), look(points, _HERE, 0.3, seed=1), CAMERA, CAMERA)
    true = (_HERE @ MOUNTING).inverse() @ _BESIDE @ MOUNTING
    assert views.case is Case.GENERAL
    assert views.rotation is not None
    assert views.direction is not None
    assert (views.rotation.inv() * true.rotation).magnitude() < np.radians(0.5)
    assert views.direction @ true.position / np.linalg.norm(true.position) > np.cos(np.radians(5))
    assert np.linalg.norm(views.direction) == pytest.approx(1)


def test_wrong_matches_are_no_inliers() -> None:
    points = scattered(300)
    query, place = look(points, _BESIDE, 0.3, wrong=0.4), look(points, _HERE, 0.3, seed=1)
    true = look(points, _BESIDE)
    inliers = compare(query, place, CAMERA, CAMERA).inliers
    exact = {row.tobytes(): point for row, point in zip(true.descriptors, true.points, strict=True)}
    errors = [
        np.linalg.norm(exact[query.descriptors[row].tobytes()] - query.points[row])
        for row in inliers[:, 0]
        if query.descriptors[row].tobytes() in exact
    ]
    assert len(errors) > 100
    assert np.mean(np.array(errors) > 5) < 0.05


@pytest.mark.parametrize("camera", [CAMERA, None])
def test_turning_on_the_spot_has_no_direction(camera: Camera | None) -> None:
    points = scattered(300)
    turned = Pose.from_xyz_yaw(0, 0, yaw=0.15) @ MOUNTING @ MOUNTING.inverse()
    # About the camera, not about the base.
    turned = Pose(MOUNTING.position - turned.rotation.apply(MOUNTING.position), turned.quaternion)
    views = compare(look(points, turned, 0.3), look(points, _HERE, 0.3, seed=1), camera, camera)
    assert len(views.inliers) > 100
    assert views.direction is None
    if camera is None:
        assert views.case is Case.ONE_PLANE
    else:
        assert views.case is Case.ROTATION
        assert views.rotation is not None
        assert views.rotation.magnitude() == pytest.approx(0.15, abs=0.005)


def test_a_wall_is_one_plane_without_a_calibration() -> None:
    wall = scattered(300)
    wall[:, 0] = 12.0
    views = compare(look(wall, _BESIDE, 0.3), look(wall, _HERE, 0.3, seed=1))
    assert views.case is Case.ONE_PLANE
    assert len(views.inliers) > 100


def test_scene_without_sense_has_no_model() -> None:
    points = scattered(300)
    for camera in (CAMERA, None):
        views = compare(look(points, _BESIDE, wrong=1.0), look(points, _HERE), camera, camera)
        assert len(views.inliers) < 30


def test_few_features_and_few_matches_are_named() -> None:
    points = scattered(300)
    here = look(points, _HERE)
    few = look(points[:15], _BESIDE)
    assert compare(few, here).case is Case.FEW_FEATURES
    other = LocalFeatures(here.points, np.roll(here.descriptors, 1, axis=1), here.size)
    assert compare(other, here).case is Case.FEW_MATCHES
    assert not len(compare(other, here).inliers)


def test_the_same_images_give_the_same_answer() -> None:
    points = scattered(200)
    query, place = look(points, _BESIDE, 0.5, wrong=0.5), look(points, _HERE, 0.5, seed=1)
    first, second = (compare(query, place, CAMERA, CAMERA).inliers for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_one_image_twice_is_one_plane() -> None:
    """OpenCV 5 raises where it finds no model that is better than another."""
    features = find_features(view(street(seed=1, metres=40), 10.0))
    views = compare(features, features)
    assert views.case is Case.ONE_PLANE
    assert len(views.inliers) == len(match_features(features, features))


@pytest.mark.parametrize(("ahead", "larger"), [(4.0, True), (-4.0, False)])
@pytest.mark.parametrize("camera", [None, CAMERA])
def test_nearer_camera_shows_the_scene_larger(ahead: float, larger: bool, camera: Camera | None) -> None:
    points = scattered(300)
    query, place = (
        look(points, Pose.from_xyz_yaw(ahead, 0.0), 0.3),
        look(points, Pose.identity(), 0.3, seed=1),
    )
    assert (compare(query, place, camera, camera).scale > 1.1) == larger
    assert (compare(place, query, camera, camera).scale < 0.9) == larger
