"""A network in an ONNX file: the answers of torch, any sizes, and refusals of what is no such file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.extractor import Extractor, variant_path
from netvlad_core.model.onnx_engine import OnnxEngine


@pytest.fixture(scope="module")
def by_torch(small_checkpoint: Path) -> Extractor:
    return Extractor.load(small_checkpoint, "cpu")


@pytest.fixture(scope="module")
def by_onnx(small_checkpoint: Path) -> Extractor:
    return Extractor.load(variant_path(small_checkpoint, "float32"), "cpu")


def test_carries_the_model_of_its_checkpoint(by_onnx: Extractor, by_torch: Extractor) -> None:
    assert (by_onnx.model_id, by_onnx.spec) == (by_torch.model_id, by_torch.spec)
    assert by_onnx.precision == "float32"
    assert by_onnx.device == "CPU (ONNX Runtime)"


def test_images_of_the_networks_size_give_the_same_descriptors(
    by_onnx: Extractor, by_torch: Extractor, street_views: list[np.ndarray]
) -> None:
    images = [image[:96] for image in street_views]  # no resizing: that of torch differs by a grey level
    np.testing.assert_allclose(by_onnx(images), by_torch(images), atol=1e-5)


def test_mixed_sizes_and_grey_keep_their_order(
    by_onnx: Extractor, by_torch: Extractor, street_views: list[np.ndarray]
) -> None:
    grey = street_views[0][..., 1]
    images = [street_views[1], grey, street_views[2][:, :90], street_views[3], np.stack([grey] * 3, axis=-1)]
    found = by_onnx(images)
    assert (found * by_torch(images)).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(found[1], found[4], atol=1e-6)
    assert (found @ found[0])[1:].max() < 0.95, "images so alike would not show a wrong order"


def test_precision_is_looked_for_beside_the_weights(small_checkpoint: Path) -> None:
    for weights in (small_checkpoint, variant_path(small_checkpoint, "float32")):
        assert Extractor.load(weights, "cpu", precision="int8").precision == "int8"
    assert Extractor.load(variant_path(small_checkpoint, "int8"), "cpu").precision == "int8"
    assert Extractor.load(small_checkpoint, "cpu", precision="float16").device == "cpu"  # torch can


def test_bfloat16_is_left_to_torch(small_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="only torch runs bfloat16"):
        Extractor.load(variant_path(small_checkpoint, "float32"), "cpu", precision="bfloat16")


def test_missing_runtime_is_named(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetvladError, match="pip install onnxruntime"):
        OnnxEngine(variant_path(small_checkpoint, "float32"))


def test_device_that_is_not_here_is_named(small_checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match=r"'tpu', it has .*CPUExecutionProvider"):
        OnnxEngine(variant_path(small_checkpoint, "float32"), "tpu")


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "text"])
def test_damaged_file_is_refused_by_name(damage: str, small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    content = variant_path(small_checkpoint, "float32").read_bytes()
    parts = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"no network at all"}
    if damage in parts:
        path.write_bytes(parts[damage])
    with pytest.raises(CheckpointError, match=r"broken\.onnx"):
        Extractor.load(path, "cpu")


def test_foreign_network_and_wrong_metadata_are_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    source = variant_path(small_checkpoint, "float32")
    model = onnx.load(source)
    stated = {entry.key: entry.value for entry in model.metadata_props}
    cases = [({}, "no format at all"), ({**stated, "format": "other 2"}, "other 2")]
    cases += [
        ({k: v for k, v in stated.items() if k != "model_id"}, "model_id"),
        ({**stated, "spec": "{"}, "description of the network is not readable"),
    ]
    for metadata, found in cases:
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, tmp_path / "foreign.onnx")
        with pytest.raises(CheckpointError, match=rf"foreign\.onnx.*{found}"):
            Extractor.load(tmp_path / "foreign.onnx", "cpu")


def test_moved_file_needs_nothing_beside_it(
    small_checkpoint: Path, by_onnx: Extractor, street_views: list[np.ndarray], tmp_path: Path
) -> None:
    shutil.copyfile(variant_path(small_checkpoint, "float32"), tmp_path / "alone.onnx")
    alone = Extractor.load(tmp_path / "alone.onnx", "cpu")
    np.testing.assert_array_equal(alone(street_views), by_onnx(street_views))
