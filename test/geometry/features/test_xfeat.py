"""XFeat: the network of the package finds the same points again, in the dark too, by either engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.geometry.features import xfeat
from netvlad_core.geometry.local_features import find_features, match_features
from netvlad_core.model.backbones import PACKAGED_NETWORK
from support.street import street, view


def test_features_move_with_the_image_and_stay_in_the_dark() -> None:
    fronts = street(seed=5, metres=20)
    one, other = (
        find_features(view(fronts, 4.0), 300, "xfeat"),
        find_features(view(fronts, 6.0, 0.2), 300, "xfeat"),
    )
    matches = match_features(one, other)
    shift = one.points[matches[:, 0]] - other.points[matches[:, 1]]
    assert len(matches) > 30
    assert np.median(np.linalg.norm(shift - [16, 0], axis=1)) < 0.5  # 2 m at 8 pixels a metre
    assert one.points.min() > -1
    assert (one.points.max(axis=0) < [161, 121]).all()


@pytest.mark.parametrize("shape", [(120, 160), (77, 333), (480, 640), (5, 5)])
def test_images_of_any_size_have_points_in_their_own_pixels(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    points, descriptors = xfeat.find(grey, 100)
    assert len(points) <= 100
    assert descriptors.shape == (len(points), 64)
    if len(points):
        assert points.min() > -1
        assert (points.max(axis=0) < [shape[1] + 1, shape[0] + 1]).all()


def test_blank_image_has_none() -> None:
    points, descriptors = xfeat.find(np.full((240, 320), 90, np.uint8), 100)
    assert (points.shape, descriptors.shape) == ((0, 2), (0, 64))


def test_onnx_runtime_gives_what_openvino_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    grey = view(street(seed=5, metres=20), 4.0)[..., 0].repeat(2, 0)[:224, :160].astype(np.float32)
    fast = xfeat.open_network(xfeat.NETWORK)(grey)
    monkeypatch.setattr(xfeat, "find_spec", lambda name: name == "onnxruntime" or None)
    for ours, theirs in zip(xfeat.open_network(xfeat.NETWORK)(grey), fast, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    monkeypatch.setattr(xfeat, "find_spec", lambda name: None)
    with pytest.raises(NetvladError, match="pip install openvino, or take rootsift"):
        xfeat.open_network(xfeat.NETWORK)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "xfeat.onnx"
    content = bytearray(xfeat.NETWORK.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        xfeat.open_network(damaged)
    shutil.copyfile(PACKAGED_NETWORK.with_suffix(".float32.onnx"), damaged)
    with pytest.raises(CheckpointError, match="no network of local features"):
        xfeat.open_network(damaged)


def test_licence_of_the_weights_comes_with_them() -> None:
    assert "Apache License" in xfeat.NETWORK.with_name("LICENSE.xfeat").read_text()


def test_large_images_are_made_smaller_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a network grows with the pixels; points are still in those of the image."""
    image = np.random.default_rng(0).integers(0, 256, (960, 1280, 3), np.uint8)
    network, seen = xfeat._packaged(), []

    def seeing(grey: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(grey.shape)
        return network(grey)

    monkeypatch.setattr(xfeat, "_packaged", lambda: seeing)
    found = find_features(image, 200, "xfeat")
    assert seen == [(480, 640)]
    assert found.size == (1280, 960)
    assert found.points.max() > 1000
