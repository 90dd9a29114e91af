"""A map as a model of COLMAP, read by the letter of its format: points fall where our camera sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import encode_jpeg
from netvlad_core.errors import CameraError, MapError
from netvlad_core.mapping.care.colmap import camera_line, export_colmap
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.split import strip_images
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import WIDTH, made_map, straight, unit

_FORWARD = Pose.from_values([0.3, 0.1, 1.2], [-0.5, 0.5, -0.5, 0.5])
_MATRIX = np.array([[500.0, 0, 310], [0, 510, 250], [0, 0, 1]])


def _camera(model: str = "plumb_bob", lens: Any = (0.1, -0.05, 0.01, 0.02, 0.0)) -> Camera:
    return Camera(640, 480, _MATRIX, model, np.array(lens, np.float64), _FORWARD)


def _map(folder: Path, camera: Camera | None, size: tuple[int, int] = (120, 160)) -> PlaceMap:
    rows = unit(np.random.default_rng(0).standard_normal((5, WIDTH)))
    poses = straight(rows, 2.0)
    poses[:, 3:] = Rotation.from_euler("z", np.linspace(0, 1, 5)[:, None]).as_quat()
    poses[2] = np.nan
    images = [encode_jpeg(np.full((*size, 3), 40 * row, np.uint8)) for row in range(5)]
    return made_map(folder, rows, poses, images=images, camera=camera)


def _lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]


def test_points_fall_where_the_camera_sees_them(tmp_path: Path) -> None:
    place_map = _map(tmp_path / "map", _camera())
    done = export_colmap(place_map, tmp_path / "model")
    assert (done.places, done.left_out) == (4, {"places without a pose": 1})
    sparse = tmp_path / "model/sparse/0"
    (number, model, width, height, *values), *others = _lines(sparse / "cameras.txt")
    assert (number, model, width, height, others) == ("1", "OPENCV", "160", "120", [])
    fx, fy, cx, cy, *lens = map(float, values)
    lines = _lines(sparse / "images.txt")
    assert [len(line) for line in lines] == [10, 0] * 4, "each image has a line of points, which is empty"
    for image, place in zip(lines[::2], (0, 1, 3, 4), strict=True):
        assert (image[0], image[8:]) == (str(place + 1), ["1", f"{place:06}.jpg"])
        w, *xyz = map(float, image[1:5])
        pose = place_map.pose(place)
        assert pose is not None
        point = pose.rotation.apply([10.0, 1.5, 0.4]) + pose.position  # in front of the robot
        seen = Rotation.from_quat([*xyz, w]).apply(point) + np.array(image[5:8], np.float64)
        x, y = seen[:2] / seen[2]
        square = x * x + y * y
        radial = 1 + lens[0] * square + lens[1] * square**2
        u = x * radial + 2 * lens[2] * x * y + lens[3] * (square + 2 * x * x)
        v = y * radial + 2 * lens[3] * x * y + lens[2] * (square + 2 * y * y)
        scaled = _camera().scaled_to(160, 120)
        optical = (pose @ _FORWARD).inverse()
        ours = optical.rotation.apply(point) + optical.position
        pixel, _ = cv2.projectPoints(ours[None], np.zeros(3), np.zeros(3), scaled.matrix, scaled.distortion)
        np.testing.assert_allclose([fx * u + cx - 0.5, fy * v + cy - 0.5], pixel[0, 0], atol=1e-6)
        assert cv2.imread(str(tmp_path / f"model/images/{place:06}.jpg"))[0, 0, 0] == pytest.approx(
            40 * place, abs=2
        )
    assert _lines(sparse / "points3D.txt") == []


@pytest.mark.parametrize(
    ("model", "lens", "name", "count"),
    [
        ("", (), "PINHOLE", 4),
        ("plumb_bob", (0.0,) * 5, "PINHOLE", 4),
        ("plumb_bob", (0.1, 0, 0, 0), "OPENCV", 8),
        ("plumb_bob", (0.1, 0, 0, 0, 0.3), "FULL_OPENCV", 12),
        ("rational_polynomial", (0.1, 0, 0, 0, 0.3, 0.2, 0.1, 0.05), "FULL_OPENCV", 12),
        ("equidistant", (0.1, 0.2, 0.3, 0.4), "OPENCV_FISHEYE", 8),
        ("equidistant", (), "OPENCV_FISHEYE", 8),
    ],
)
def test_every_lens_has_its_model(model: str, lens: tuple[float, ...], name: str, count: int) -> None:
    found, width, height, *values = camera_line(_camera(model, lens)).split()
    assert (found, width, height, len(values)) == (name, "640", "480", count)
    assert [float(value) for value in values[:4]] == [500.0, 510.0, 310.5, 250.5]
    padded = [*lens, *[0.0] * 12][: count - 4]
    assert [float(value) for value in values[4:]] == padded


def test_lens_that_colmap_does_not_know_is_refused() -> None:
    with pytest.raises(CameraError, match="thin prism"):
        camera_line(_camera("rational_polynomial", (0.1,) * 12))


def test_each_drive_has_its_camera_and_one_without_is_left_out(tmp_path: Path) -> None:
    lenses = {"wide": _camera("", ()), "none": None, "long": _camera()}
    maps = [_map(tmp_path / name, lens) for name, lens in lenses.items()]
    joined = write_parts([Part.of(place_map) for place_map in maps], tmp_path / "map", "merge", 0)
    done = export_colmap(joined, tmp_path / "model")
    assert (done.places, done.left_out) == (
        8,
        {"places without a pose": 3, "places without a calibration": 4},
    )
    assert [line[1] for line in _lines(tmp_path / "model/sparse/0/cameras.txt")] == ["PINHOLE", "OPENCV"]
    assert [line[8] for line in _lines(tmp_path / "model/sparse/0/images.txt")[::2]] == ["1"] * 4 + ["2"] * 4


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    place_map = _map(tmp_path / "map", _camera())
    with pytest.raises(MapError, match="keeps no images"):
        export_colmap(strip_images(place_map, tmp_path / "private"), tmp_path / "model")
    with pytest.raises(MapError, match="keeps no calibration"):
        export_colmap(_map(tmp_path / "blind", None), tmp_path / "model")
    with pytest.raises(CameraError, match="no resized one"):
        export_colmap(_map(tmp_path / "cropped", _camera(), (100, 160)), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".*")), "nothing is left of what failed"


def test_only_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    place_map = _map(tmp_path / "map", _camera())
    for _ in range(2):
        export_colmap(place_map, tmp_path / "model")
    (tmp_path / "model" / "thesis.txt").write_text("years")
    with pytest.raises(MapError, match="no earlier export"):
        export_colmap(place_map, tmp_path / "model")
    with pytest.raises(MapError, match="lies in it"):
        export_colmap(place_map, place_map.path / "model")
