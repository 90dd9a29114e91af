"""Frames obey the pinhole camera, repeat exactly and change with the light but not in shape."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("panda3d")

from town.drives import CAMERA_POSITION, CAMERA_ROTATION
from town.mesh import Mesh
from town.renderer import Renderer
from town.town import Town, make_town

PLACE = (85.0, 37.0)
MAGENTA = (255, 0, 255)


@pytest.fixture(scope="module")
def corner() -> Town:
    """The neighbourhood of one place: a full town takes longer to paint than a quick test may."""
    return make_town().around(np.array([PLACE]), 35.0, 1.0)


@pytest.fixture(scope="module")
def noon(corner: Town) -> Iterator[Renderer]:
    renderer = Renderer(corner, "noon", extra=[_marker((87.0, 52.0, 3.0))])
    yield renderer
    renderer.close()


def _marker(centre: tuple[float, float, float], size: float = 0.5) -> Mesh:
    """A magenta square that faces south."""
    x, y, z = centre
    h = size / 2
    corners = np.array([(x - h, y, z - h), (x + h, y, z - h), (x + h, y, z + h), (x - h, y, z + h)])
    uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    texture = np.full((8, 8, 3), MAGENTA, np.uint8)
    return Mesh(corners, uv, np.ones((4, 3)), np.array([(0, 1, 2), (0, 2, 3)]), texture)


def _camera(
    x: float, y: float, yaw: float, pitch: float = 0.0, roll: float = 0.0
) -> tuple[np.ndarray, Rotation]:
    base = Rotation.from_euler("ZYX", (yaw, pitch, roll))
    return np.array((x, y, 0.0)) + base.apply(CAMERA_POSITION), base * CAMERA_ROTATION


@pytest.mark.parametrize(
    "pose", [(86, 38, 1.5), (84, 40, 1.35, 0.1), (87.5, 36, 1.75, -0.1, 0.08), (85, 42, 1.2, 0.0, -0.1)]
)
def test_a_marker_lands_on_the_predicted_pixel(noon: Renderer, pose: tuple[float, ...]) -> None:
    eye, rotation = _camera(*pose)
    image = noon.render(eye, rotation.as_quat()).astype(int)
    ray = noon.intrinsics @ rotation.inv().apply(np.array((87.0, 52.0, 3.0)) - eye)
    expected = ray[:2] / ray[2]
    marked = (image[..., 0] > 180) & (image[..., 1] < 90) & (image[..., 2] > 180)
    assert marked.any()
    rows, columns = np.nonzero(marked)
    np.testing.assert_allclose((columns.mean(), rows.mean()), expected, atol=1.0)


def test_the_same_pose_gives_the_same_pixels(noon: Renderer) -> None:
    eye, rotation = _camera(85, 36, 1.5)
    first = noon.render(eye, rotation.as_quat())
    noon.render(eye + 1.0, rotation.as_quat())
    np.testing.assert_array_equal(first, noon.render(eye, rotation.as_quat()))
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert first.std() > 30


def test_the_lights_differ_in_pixels_but_not_in_shape(corner: Town, noon: Renderer) -> None:
    evening = Renderer(corner, "evening")
    eye, rotation = _camera(85, 36, 1.5)
    day, dusk = (r.render(eye, rotation.as_quat()) for r in (noon, evening))
    evening.close()
    assert np.abs(day.astype(int) - dusk).mean() > 30
    assert dusk.mean() < 0.75 * day.mean()
    # The outlines of houses against the sky stand where they stood.
    edges = [cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:240], 40, 120) > 0 for image in (day, dusk)]
    wide = cv2.dilate(edges[1].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    here = (edges[0] & wide).sum() / edges[0].sum()
    elsewhere = (edges[0] & np.roll(wide, 40, axis=1)).sum() / edges[0].sum()
    assert here > 0.6
    assert here > elsewhere + 0.15
