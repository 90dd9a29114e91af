"""A network that is not ours, in an ONNX file, runs by every engine as its own project runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from netvlad_core import Extractor
from netvlad_core.errors import CheckpointError
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.foreign import wrap_network
from netvlad_core.model.preprocessing import Preprocessing

_EXACT = Preprocessing("exact", (48, 64), (124.0, 116.0, 104.0), (58.0, 57.0, 56.0))
_WEIGHT = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)


def _file(
    path: Path, batch: str | int = "batch", side: str | int = 48, kind: int = TensorProto.FLOAT
) -> Path:
    """A convolution and the means of its channels: (B, 3, H, W) -> (B, 8, 1, 1), and the same twice."""
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["map"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["mean"]),
        helper.make_node("Concat", ["mean", "mean"], ["twice"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("x", kind, [batch, 3, side, 64 if side == 48 else "width"])],
        [helper.make_tensor_value_info(name, kind, [batch, None, 1, 1]) for name in ("mean", "twice")],
        [
            numpy_helper.from_array(_WEIGHT, "weight"),
            numpy_helper.from_array(np.array([1 if batch == 1 else 0, 8, 1, 1]), "shape"),
        ],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def _expected(image: np.ndarray) -> np.ndarray:
    x = (torch.from_numpy(image).permute(2, 0, 1).double() - torch.tensor(_EXACT.mean)[:, None, None]) / (
        torch.tensor(_EXACT.std)[:, None, None]
    )
    means = torch.nn.functional.conv2d(x[None], torch.from_numpy(_WEIGHT).double(), stride=2).mean(dim=(2, 3))
    return torch.nn.functional.normalize(means, dim=1)[0].numpy()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_descriptor_is_that_of_the_network_normalised(engine: str, tmp_path: Path) -> None:
    output = tmp_path / "ours.onnx"
    spec = wrap_network(_file(tmp_path / "theirs.onnx"), output, _EXACT)
    assert spec.dimension == 8
    extractor = Extractor.load(output, "cpu", precision="float32", engine=engine)
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 64, 3), np.uint8)
    np.testing.assert_allclose(extractor(images), [_expected(image) for image in images], atol=1e-5)
    assert extractor.model_id.startswith("theirs@")


class _Small(torch.nn.Module):
    """A network of nobody's: its descriptor is that of the image, or depends on the others in the batch."""

    def __init__(self, mixes: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, 4), torch.nn.ReLU(), torch.nn.AvgPool2d(5))
        self.mixes = mixes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.layers(images).flatten(1)
        return rows - 0.5 * rows.mean(0, keepdim=True) if self.mixes else rows


@pytest.mark.parametrize(
    ("batch", "mixes", "opset"),
    [("static", False, 17), ("dynamic", False, 11), ("dynamic", True, 11), ("dynamic", True, 17)],
)
def test_exported_network_gives_each_image_its_own_descriptor(
    batch: str, mixes: bool, opset: int, tmp_path: Path
) -> None:
    """Most files of other projects take one image at a time; some networks mix the images of a batch."""
    network, images = (
        _Small(mixes).eval(),
        np.random.default_rng(1).integers(0, 256, (3, 48, 64, 3), np.uint8),
    )
    axes = {"x": {0: "b"}, "y": {0: "b"}} if batch == "dynamic" else {}
    torch.onnx.export(
        network, (torch.rand(1, 3, 48, 64),), tmp_path / "theirs.onnx", input_names=["x"], output_names=["y"],
        dynamic_axes=axes, opset_version=opset, dynamo=False,
    )  # fmt: skip
    assert wrap_network(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", _EXACT).dimension == 48
    normal = (images - np.array(_EXACT.mean)) / _EXACT.std
    with torch.no_grad():
        expected = [network(torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None])[0] for x in normal]
    expected = [(row / row.norm()).numpy() for row in expected]
    for engine in ("onnxruntime", "openvino"):
        extractor = Extractor.load(
            tmp_path / "ours.onnx", "cpu", batch_size=3, precision="float32", engine=engine
        )
        np.testing.assert_allclose(extractor(images), expected, atol=1e-5)


@pytest.mark.parametrize("resize", ["keep", "shorter", "multiple"])
def test_output_whose_length_depends_on_the_image_needs_one_size(resize: str, tmp_path: Path) -> None:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[8, 8], strides=[8, 8])
    given, found = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 3, f"{name}h", f"{name}w"])]
        for name in "xy"
    )
    graph, opset = helper.make_graph([node], "cells", given, found), helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "theirs.onnx")
    size = () if resize == "keep" else (80,)
    with pytest.raises(CheckpointError, match=r"numbers for an image of .* state one size"):
        wrap_network(
            tmp_path / "theirs.onnx",
            tmp_path / "ours.onnx",
            Preprocessing(resize, size, _EXACT.mean, _EXACT.std),
        )
    assert wrap_network(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", _EXACT).dimension == 3 * 6 * 8


@pytest.mark.parametrize("name", ["netvlad", "gem", "strange name@1"])
def test_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    wrap_network(_file(tmp_path / f"{name}.onnx"), tmp_path / "ours.onnx", _EXACT)
    extractor = Extractor.load(tmp_path / "ours.onnx", "cpu")
    assert extractor.dimension == 8
    assert extractor.model_id.count("@") == 1


def test_file_of_ours_is_not_wrapped_again(tmp_path: Path) -> None:
    wrap_network(_file(tmp_path / "theirs.onnx"), tmp_path / "ours.onnx", _EXACT)
    with pytest.raises(CheckpointError, match="a file of this package already"):
        wrap_network(tmp_path / "ours.onnx", tmp_path / "again.onnx", _EXACT)


def test_other_output_and_other_preprocessing_are_other_models(tmp_path: Path) -> None:
    file, found = _file(tmp_path / "theirs.onnx", side="height"), set()
    keep = Preprocessing("keep", (), _EXACT.mean, _EXACT.std)
    for number, (preprocessing, name) in enumerate(((_EXACT, ""), (keep, ""), (_EXACT, "twice"))):
        output = tmp_path / f"{number}.onnx"
        spec = wrap_network(file, output, preprocessing, name)
        assert spec.dimension == (16 if name else 8)
        found.add(Extractor.load(output, "cpu").model_id)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: _file(path, kind=TensorProto.FLOAT16), "no images"),
        (lambda path: path.write_bytes(b"\x08\x07" + bytes(100)), "damaged or no ONNX network"),
        (lambda path: None, "there is no ONNX file"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_and_leaves_no_file(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "theirs.onnx")
    with pytest.raises(CheckpointError, match=message):
        wrap_network(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", _EXACT)
    assert not (tmp_path / "ours.onnx").exists()


def test_network_in_training_mode_is_refused(tmp_path: Path) -> None:
    """Dropout that is left on."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("RandomUniformLike", ["mean"], ["noise"]),
        helper.make_node("Mul", ["mean", "noise"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 3, 1, 1])
    graph, opset = helper.make_graph(nodes, "noisy", [x], [y]), helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "theirs.onnx")
    with pytest.raises(CheckpointError, match="another descriptor each time"):
        wrap_network(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", _EXACT)
    assert not (tmp_path / "ours.onnx").exists()


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_precision_that_its_file_has_not_is_refused(precision: str, tmp_path: Path) -> None:
    wrap_network(_file(tmp_path / "theirs.onnx"), tmp_path / "ours.onnx", _EXACT)
    with pytest.raises(CheckpointError, match="keeps the precision of its file"):
        Extractor.load(tmp_path / "ours.onnx", "cpu", precision=precision)
    with pytest.raises(CheckpointError, match="is an ONNX file, whose network only runs"):
        load_checkpoint(tmp_path / "ours.onnx")


def test_unknown_output_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'third'; there are: mean, twice"):
        wrap_network(_file(tmp_path / "theirs.onnx"), tmp_path / "ours.onnx", _EXACT, "third")
