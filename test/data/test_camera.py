"""Calibrations: pixels to rays and back, resized images, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from netvlad_core.data.camera import Camera, CameraError
from netvlad_core.data.geometry import Pose

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
    with pytest.raises(CameraError, match="not readable"):
        Camera.from_json("{}")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": np.zeros(9)}, "not calibrated"),
        ({"width": 0}, "not calibrated"),
        ({"d": np.array([np.nan] * 5)}, "not finite"),
        ({"distortion_model": "double_sphere"}, "double_sphere"),
        ({"d": np.zeros(3)}, "3 coefficients"),
    ],
)
def test_unusable_calibrations_are_named(changes: dict[str, Any], sentence: str) -> None:
    values = {"width": 320, "height": 240, "k": _MATRIX.ravel(), "d": np.zeros(5)}
    info = SimpleNamespace(**{**values, "distortion_model": "plumb_bob", **changes})
    with pytest.raises(CameraError, match=sentence):
        Camera.from_message(info, _MOUNTING)
