"""Which engine runs a network, and that all of them give the answers of torch."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model import open_engine as engines
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.open_engine import open_engine, variant_path
from netvlad_core.model.openvino_engine import OpenVinoEngine

_BY_FILE = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def by_torch(small_checkpoint: Path) -> Extractor:
    return Extractor.load(small_checkpoint, "cpu", engine="torch")


@pytest.fixture(scope="module", params=_BY_FILE)
def by_file(request: pytest.FixtureRequest, small_checkpoint: Path) -> Extractor:
    return Extractor.load(small_checkpoint, "cpu", precision="float32", engine=request.param)


@pytest.fixture
def weights(small_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint with its float32 file beside it, to be changed."""
    for path in (small_checkpoint, variant_path(small_checkpoint, "float32")):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path / small_checkpoint.name


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find_spec = engines.find_spec
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name in missing else find_spec(name))


def test_carries_the_model_of_its_checkpoint(by_file: Extractor, by_torch: Extractor) -> None:
    assert (by_file.model_id, by_file.spec) == (by_torch.model_id, by_torch.spec)
    assert by_file.precision == "float32"
    assert re.fullmatch(r"CPU \((OpenVINO|ONNX Runtime), \d+ threads\)", by_file.device)


def test_images_of_the_networks_size_give_the_same_descriptors(
    by_file: Extractor, by_torch: Extractor, street_views: list[np.ndarray]
) -> None:
    images = [image[:96] for image in street_views]  # no resizing: that of torch differs by a grey level
    np.testing.assert_allclose(by_file(images), by_torch(images), atol=1e-5)


def test_mixed_sizes_and_grey_keep_their_order(
    by_file: Extractor, by_torch: Extractor, street_views: list[np.ndarray]
) -> None:
    grey = street_views[0][..., 1]
    images = [street_views[1], grey, street_views[2][:, :90], street_views[3], np.stack([grey] * 3, axis=-1)]
    found = by_file(images)
    assert (found * by_torch(images)).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(found[1], found[4], atol=1e-6)
    assert (found @ found[0])[1:].max() < 0.95, "images so alike would not show a wrong order"


@pytest.mark.parametrize(
    ("missing", "device"),
    [((), "OpenVINO"), (("openvino",), "ONNX Runtime"), (("openvino", "onnxruntime"), "cpu")],
)
def test_fastest_engine_that_is_installed_is_taken(
    missing: tuple[str, ...], device: str, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, *missing)
    assert device in open_engine(small_checkpoint).device


def test_checkpoint_alone_is_run_by_torch(checkpoint: Path) -> None:
    assert open_engine(checkpoint, "cpu").device == "cpu"


def test_nothing_to_run_it_is_said(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torch")
    with pytest.raises(CheckpointError, match=r"float32 without torch, and there is no .*netvlad export"):
        open_engine(checkpoint, "cpu")
    without(monkeypatch, "openvino", "onnxruntime", "torch")
    with pytest.raises(CheckpointError, match="pip install openvino"):
        open_engine(checkpoint, "cpu")


def test_engine_that_was_asked_for_says_why_not(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = variant_path(small_checkpoint, "float32")
    with pytest.raises(CheckpointError, match=r"torch runs checkpoints, and .* is an ONNX file"):
        open_engine(file, engine="torch")
    without(monkeypatch, "openvino")
    with pytest.raises(CheckpointError, match="pip install openvino"):
        open_engine(file, engine="openvino")


@pytest.mark.parametrize("name", ["tensorflow", ""])
def test_unknown_engine_is_refused(name: str, checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match="there are: auto, openvino, onnxruntime, torch"):
        open_engine(checkpoint, engine=name)


def test_precision_is_looked_for_beside_the_weights(small_checkpoint: Path) -> None:
    for weights in (small_checkpoint, variant_path(small_checkpoint, "float32")):
        assert open_engine(weights, "cpu", "int8").precision == "int8"
        assert open_engine(weights, "cpu", "float32").precision == "float32"
    assert open_engine(variant_path(small_checkpoint, "int8"), "cpu").precision == "int8"
    assert open_engine(variant_path(small_checkpoint, "int8"), "cpu", "float32").precision == "float32"
    assert open_engine(small_checkpoint, "cpu", "float16").precision == "float16"


def test_int8_is_for_those_who_ask(small_checkpoint: Path, tmp_path: Path) -> None:
    """Neither the fastest engine nor a precision that is missing makes it the choice of "auto"."""
    for path in (small_checkpoint, variant_path(small_checkpoint, "int8")):
        shutil.copyfile(path, tmp_path / path.name)
    assert open_engine(tmp_path / small_checkpoint.name, "cpu").precision == "float32"
    beside_both = open_engine(small_checkpoint, "cpu")
    assert beside_both.device.startswith("CPU (OpenVINO")
    assert beside_both.precision in ("float32", "bfloat16")


def test_bfloat16_needs_a_cpu_or_torch(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    assert open_engine(small_checkpoint, "cpu", "bfloat16").device == "cpu"
    with pytest.raises(CheckpointError, match="bfloat16 here: that takes torch and a checkpoint"):
        open_engine(variant_path(small_checkpoint, "float32"), "cpu", "bfloat16")


def test_file_of_other_weights_is_left_alone(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(open_engine(weights, "cpu"), OpenVinoEngine)
    network = load_checkpoint(weights)
    network.netvlad.centroids.data.add_(0.1)
    save_checkpoint(network, weights)
    with caplog.at_level(logging.WARNING):
        engine = open_engine(weights, "cpu")
    assert (engine.device, engine.model_id) == ("cpu", network.fingerprint())
    assert f"make it anew: netvlad export {weights}" in caplog.text


@pytest.mark.parametrize("engine", _BY_FILE)
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "text"])
def test_damaged_file_is_refused_by_name(
    engine: str, damage: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    content = variant_path(small_checkpoint, "float32").read_bytes()
    parts = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"no network at all"}
    if damage in parts:
        path.write_bytes(parts[damage])
    with pytest.raises(CheckpointError, match=r"broken\.onnx"):
        open_engine(path, "cpu", engine=engine)


@pytest.mark.parametrize("engine", _BY_FILE)
def test_foreign_network_and_wrong_metadata_are_refused(
    engine: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    model = onnx.load(variant_path(small_checkpoint, "float32"))
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
            open_engine(tmp_path / "foreign.onnx", "cpu", engine=engine)


@pytest.mark.parametrize("engine", _BY_FILE)
def test_moved_file_needs_nothing_beside_it(
    engine: str, small_checkpoint: Path, street_views: list[np.ndarray], tmp_path: Path
) -> None:
    beside = open_engine(small_checkpoint, "cpu", "float32", engine)
    shutil.copyfile(variant_path(small_checkpoint, "float32"), tmp_path / "alone.onnx")
    alone = open_engine(tmp_path / "alone.onnx", "cpu", "float32", engine)
    np.testing.assert_array_equal(alone.describe(street_views), beside.describe(street_views))


@pytest.mark.parametrize("name", ["campus.safetensors", "campus.float32.onnx", "campus.int8.onnx"])
def test_files_of_all_precisions_stand_side_by_side(name: str) -> None:
    assert variant_path(Path("maps") / name, "int8") == Path("maps/campus.int8.onnx")
