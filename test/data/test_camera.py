"""Calibrations: pixels to rays and back, resized images, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera, is_rectified
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import CameraError

_MATRIX = np.array([[300.0, 0, 160], [0, 310, 120], [0, 0, 1]])
_MOUNTING = Pose.from_xyz_yaw(0.5, 0.1, 1.5, yaw=0.3)
_SCENE = np.random.default_rng(0).uniform((-2, -1.5, 4), (2, 1.5, 9), (40, 3))


def _camera(model: str = "plumb_bob", distortion: Any = (0.1, -0.2, 0.001, 0.002, 0.05)) -> Camera:
    return Camera.from_values(320, 240, _MATRIX, model, distortion, _MOUNTING)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", (0.1, -0.2, 0.001, 0.002, 0.05)),
        ("rational_polynomial", (0.1, -0.2, 0.001, 0.002, 0.05, 0.01, 0.02, 0.003)),
        ("plumb_bob", ()),
    ],
)
def test_rays_undo_the_lens(model: str, distortion: Any) -> None:
    coefficients = np.array(distortion) if distortion else None
    pixels, _ = cv2.projectPoints(_SCENE, np.zeros(3), np.zeros(3), _MATRIX, coefficients)
    rays = _camera(model, distortion).rays(pixels[:, 0])
    np.testing.assert_allclose(rays, _SCENE[:, :2] / _SCENE[:, 2:], atol=1e-4)


def test_fisheye_rays() -> None:
    coefficients = np.array([0.05, -0.01, 0.002, -0.001])
    pixels, _ = cv2.fisheye.projectPoints(_SCENE[:, None], np.zeros(3), np.zeros(3), _MATRIX, coefficients)
    rays = _camera("equidistant", coefficients).rays(pixels[:, 0])
    np.testing.assert_allclose(rays, _SCENE[:, :2] / _SCENE[:, 2:], atol=1e-4)


def test_resized_images_have_the_same_rays() -> None:
    camera, pixels = _camera(), np.array([[0.0, 0], [160, 120], [300, 30]])
    half = camera.scaled_to(160, 120)
    np.testing.assert_allclose(half.rays((pixels + 0.5) / 2 - 0.5), camera.rays(pixels), atol=1e-6)
    with pytest.raises(CameraError, match="no resized one"):
        camera.scaled_to(160, 90)


def test_no_points_have_no_rays() -> None:
    assert _camera().rays(np.empty((0, 2))).shape == (0, 2)


def test_description_comes_back() -> None:
    camera = _camera()
    again = Camera.from_json(camera.to_json())
    assert (again.width, again.height, again.model) == (320, 240, "plumb_bob")
    np.testing.assert_array_equal(again.matrix, camera.matrix)
    np.testing.assert_array_equal(again.mounting.position, camera.mounting.position)
    huge = camera.to_json().replace('"mounting": [', '"mounting": [' + "9" * 400 + ",")
    for text in ("{}", "5", "null", '"camera"', "[" * 9000, '{"mounting": 5}', huge):
        with pytest.raises(CameraError, match="not readable"):
            Camera.from_json(text)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": np.zeros(9)}, "not calibrated"),
        ({"width": 0}, "not calibrated"),
        ({"height": 1 << 40}, "not calibrated"),
        ({"d": np.array([np.nan] * 5)}, "not finite"),
        ({"distortion_model": "double_sphere"}, "double_sphere"),
        ({"d": np.zeros(3)}, "3 coefficients"),
    ],
)
def test_unusable_calibrations_are_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CameraError, match=sentence):
        Camera.from_message(_info(**changes), _MOUNTING)


def _info(**changes: Any) -> SimpleNamespace:
    values = {"width": 320, "height": 240, "k": _MATRIX.ravel(), "d": np.zeros(5), "r": np.eye(3).ravel()}
    values |= {"p": np.zeros(12), "distortion_model": "plumb_bob", "binning_x": 0, "binning_y": 0}
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    return SimpleNamespace(**{**values, "roi": roi, **changes})


_P = np.array([[240.0, 0, 150, -30], [0, 240, 118, 0], [0, 0, 1, 0]])


def test_rectified_images_have_the_matrix_p_and_no_lens() -> None:
    info = _info(p=_P.ravel(), d=np.array([-0.3, 0.1, 0, 0, 0]))
    camera = Camera.from_message(info, _MOUNTING, is_rectified=True)
    np.testing.assert_allclose(camera.rays(np.array([[390.0, 358]])), [[1, 1]])
    np.testing.assert_array_equal(camera.mounting.quaternion, _MOUNTING.quaternion)
    assert Camera.from_message(info, _MOUNTING).matrix[0, 0] == 300
    with pytest.raises(CameraError, match="not calibrated"):
        Camera.from_message(_info(), _MOUNTING, is_rectified=True)


def test_stereo_rectification_turns_the_camera() -> None:
    """A point seen by the turned camera is where the mounting of the rectified one says."""
    turn = Rotation.from_euler("xyz", [2, -4, 3], degrees=True)
    info = _info(p=_P.ravel(), r=turn.as_matrix().ravel())
    rectified = Camera.from_message(info, _MOUNTING, is_rectified=True)
    point = np.array([0.4, -0.2, 5.0])  # in the frame of the camera
    seen = rectified.mounting.position + rectified.mounting.rotation.apply(turn.apply(point))
    np.testing.assert_allclose(seen, _MOUNTING.position + _MOUNTING.rotation.apply(point))
    np.testing.assert_array_equal(
        Camera.from_message(info, _MOUNTING).mounting.quaternion, _MOUNTING.quaternion
    )
    with pytest.raises(CameraError, match="matrix R of camera_info is no rotation"):
        Camera.from_message(_info(p=_P.ravel(), r=np.full(9, 0.5)), _MOUNTING, is_rectified=True)
    single = _info(p=_P.ravel(), r=np.zeros(9))
    turned = Camera.from_message(single, _MOUNTING, is_rectified=True).mounting
    np.testing.assert_array_equal(turned.quaternion, _MOUNTING.quaternion)


@pytest.mark.parametrize("rectified", [False, True])
def test_region_of_interest_and_binning_come_before_all_else(rectified: bool) -> None:
    """A crop of 160x120 from (80, 60), and one pixel out of 2x2 of it."""
    full = Camera.from_message(_info(p=_P.ravel()), _MOUNTING, rectified)
    roi = SimpleNamespace(x_offset=80, y_offset=60, width=160, height=120)
    crop = Camera.from_message(_info(p=_P.ravel(), roi=roi), _MOUNTING, rectified)
    assert (crop.width, crop.height) == (160, 120)
    pixels = np.array([[100.0, 70], [200, 170]])
    np.testing.assert_allclose(crop.rays(pixels - (80, 60)), full.rays(pixels))
    binned = Camera.from_message(_info(p=_P.ravel(), roi=roi, binning_x=2, binning_y=2), _MOUNTING, rectified)
    assert (binned.width, binned.height) == (80, 60)
    np.testing.assert_allclose(binned.rays((pixels - (80, 60)) / 2), full.rays(pixels))
    with pytest.raises(CameraError, match="no resized one"):
        binned.scaled_to(320, 200)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/image_raw", False),
        ("/camera/image_rect", True),
        ("/zed/left/image_rect_color/compressed", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/camera/image_rectified", True),
        ("/direct/image", False),
        ("/camera/image_unrectified", False),
        ("/rectangles/image", False),
    ],
)
def test_names_of_rectified_images(topic: str, expected: bool) -> None:
    assert is_rectified(topic) == expected
