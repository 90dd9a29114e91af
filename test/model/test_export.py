"""Every backbone becomes an ONNX file that computes what torch computes, in the precision that it states."""

from __future__ import annotations

import copy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from netvlad_core.cli import main
from netvlad_core.errors import NetvladError
from netvlad_core.files import check_outputs
from netvlad_core.model import efficientnet_lite
from netvlad_core.model import export as export_module
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.dinov2 import DinoV2
from netvlad_core.model.export import export, too_large
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.onnx_engine import FORMAT
from netvlad_core.model.open_engine import variant_path
from netvlad_core.model.spec import NetworkSpec
from support.networks import random_network
from support.street import street, write_catalogue


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


# One of each kind of layer: the deeper ones repeat what these are made of.
_KINDS = (
    *("efficientnet_lite0", "alexnet", "resnet18_layer4", "resnet50", "mobilenet_v3"),
    *("dinov2_vits14", "dinov2_vits14_token", "dinov2_vits14_value", "dinov2_vitg14"),
)
# Of EfficientNet-Lite0: blocks, kernel, stride, expansion, channels.
_LAST_STAGES = ((2, 5, 2, 6, 112),)


@pytest.mark.parametrize("backbone", _KINDS)
def test_every_kind_of_backbone_agrees_with_torch_at_any_size(
    backbone: str, street_views: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backbone.startswith("dinov2"):  # two narrow blocks instead of many equal ones
        options = {
            "dinov2_vits14_token": {"has_token": True}, "dinov2_vits14_value": {"gives_values": True},
            "dinov2_vitg14": {"has_gates": True, "is_normalized": False},
        }.get(backbone, {})  # fmt: skip
        entry = replace(BACKBONES[backbone], channels=64, build=lambda: DinoV2(64, 1, 2, **options))
        monkeypatch.setitem(BACKBONES, backbone, entry)
    monkeypatch.setattr(efficientnet_lite, "_STAGES", efficientnet_lite._STAGES[:3] + _LAST_STAGES)
    if BACKBONES[backbone].has_token:
        settings = {"clusters": 4, "cluster_dimension": 8, "token_dimension": 16}
        spec = NetworkSpec.of_backbone(backbone, aggregation="salad", settings=settings)
        preprocessing = replace(spec.preprocessing, size=(96,))
        network = PlaceNetwork(replace(spec, preprocessing=preprocessing)).eval()
    else:
        network = random_network(backbone, street_views[:2])
    agreement = export(network, tmp_path / "n.onnx")
    assert agreement.images == 6
    assert agreement.difference < 1e-5
    odd_sizes = [street_views[0], street_views[1][:97, :131], street_views[2][:, :70], street_views[3][:61]]
    by_onnx = Extractor.load(tmp_path / "n.onnx", "cpu", precision="float32")(odd_sizes)
    by_torch = Extractor.of(network, "cpu")(odd_sizes)
    assert (by_onnx * by_torch).sum(axis=1).min() > 0.999  # not 1: the resizings differ by a grey level
    assert (by_torch @ by_torch.T - np.eye(4)).max() < 0.99, "images so alike would hide a wrong graph"


def test_second_form_of_the_layer_is_exported_as_the_same_bytes_each_time(
    street_views: list[np.ndarray], tmp_path: Path
) -> None:
    network = random_network("alexnet", street_views, with_bias=True, intra_normalization=False)
    for name in ("v2.onnx", "again.onnx"):
        assert export(network, tmp_path / name, images=street_views).difference < 1e-5
    assert (tmp_path / "v2.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    check_outputs({tmp_path / "v2.onnx": FORMAT}, ())  # another export may replace it
    assert Extractor.load(tmp_path / "v2.onnx", "cpu").spec == network.spec


def test_file_has_free_sizes_and_tells_what_it_is(
    small_checkpoint: Path, small_network: PlaceNetwork
) -> None:
    path = variant_path(small_checkpoint, "float32")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", "height", "width", 3]
    stated = {entry.key: entry.value for entry in model.metadata_props}
    assert stated["model_id"] == small_network.fingerprint()
    assert stated["precision"] == "float32"
    content = path.read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content, "the file tells where it was made"
    assert str(Path(export_module.__file__).parent).encode() not in content


@pytest.mark.parametrize(
    ("precision", "most"), [("float32", 9_900_000), ("float16", 4_950_000)], ids=["float32", "float16"]
)
def test_network_too_large_for_a_file_is_refused_in_a_sentence(
    precision: str, most: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AlexNet's layers have 2.47 million weights."""
    network = PlaceNetwork(NetworkSpec.of_backbone("alexnet", clusters=2)).eval()
    assert too_large(network, precision) == ""
    monkeypatch.setattr(export_module, "_LARGEST_FILE_BYTES", most - 50_000)
    with pytest.raises(NetvladError, match="most are in the backbone: export float16"):
        export(network, tmp_path / "n.onnx", precision)
    monkeypatch.setattr(export_module, "_LARGEST_FILE_BYTES", most)
    assert too_large(network, precision) == ""


def weights_by_type(path: Path) -> dict[int, set[str]]:
    """Names of the matrices and filters in a file, by the type of their entries."""
    types: dict[int, set[str]] = {}
    for tensor in onnx.load(path).graph.initializer:
        if len(tensor.dims) >= 2:
            types.setdefault(tensor.data_type, set()).add(tensor.name)
    return types


def test_float16_is_the_backbone_alone(small_checkpoint: Path) -> None:
    types = weights_by_type(variant_path(small_checkpoint, "float16"))
    assert len(types[TensorProto.FLOAT16]) == 5
    assert all("backbone" in name for name in types[TensorProto.FLOAT16])
    assert not any("backbone" in name for name in types[TensorProto.FLOAT])


def test_int8_runs_integer_convolutions(small_checkpoint: Path, tmp_path: Path) -> None:
    path = variant_path(small_checkpoint, "int8")
    assert len(weights_by_type(path)[TensorProto.INT8]) == 4
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as_it_runs.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    running = [node.op_type for node in onnx.load(tmp_path / "as_it_runs.onnx").graph.node]
    assert running.count("QLinearConv") == 4
    # The first layer and the assignment stay.
    assert sum(kind in ("Conv", "FusedConv") for kind in running) == 2


def test_int8_has_the_ranges_of_the_images_given(
    small_checkpoint: Path, small_network: PlaceNetwork, street_views: list[np.ndarray], tmp_path: Path
) -> None:
    """Activations of pictures in an eighth of the light end at smaller values."""
    dark, template = [image // 8 for image in street_views], variant_path(small_checkpoint, "float32")
    export(small_network, tmp_path / "dark.int8.onnx", "int8", dark, template)
    by_light = [
        {
            tensor.name: float(onnx.numpy_helper.to_array(tensor))
            for tensor in onnx.load(path).graph.initializer
            if tensor.name.endswith("_scale") and not tensor.dims
        }
        for path in (variant_path(small_checkpoint, "int8"), tmp_path / "dark.int8.onnx")
    ]
    bright_scales, dark_scales = by_light
    assert bright_scales.keys() == dark_scales.keys()
    assert len(bright_scales) >= 4
    assert sum(dark_scales[name] < bright_scales[name] for name in dark_scales) > len(dark_scales) / 2


def test_int8_of_a_transformer_multiplies_in_integers(
    street_views: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(BACKBONES["dinov2_vits14"], build=lambda: DinoV2(384, 6, blocks=1))
    monkeypatch.setitem(BACKBONES, "dinov2_vits14", entry)
    network = random_network("dinov2_vits14", street_views[:2])
    export(network, tmp_path / "n.int8.onnx", "int8", street_views)
    assert len(weights_by_type(tmp_path / "n.int8.onnx")[TensorProto.INT8]) == 4


@pytest.mark.parametrize(("precision", "lowest"), [("float32", 0.99999), ("float16", 0.9999), ("int8", 0.8)])
def test_precisions_describe_alike(
    precision: str,
    lowest: float,
    small_checkpoint: Path,
    small_network: PlaceNetwork,
    street_views: list[np.ndarray],
) -> None:
    files = variant_path(small_checkpoint, precision)
    found, expected = (
        e(street_views)
        for e in (Extractor.load(files, "cpu", precision=precision), Extractor.of(small_network, "cpu"))
    )
    similarity = (found * expected).sum(axis=1)
    assert similarity.min() > lowest
    if precision != "float32":
        assert largest_difference(found, expected) > 1e-6, "float32 under another name"


def test_broken_network_is_refused_and_leaves_no_file(small_network: PlaceNetwork, tmp_path: Path) -> None:
    broken = copy.deepcopy(small_network)
    broken.netvlad.centroids.data[0, 0] = torch.nan
    with pytest.raises(NetvladError, match=r"float32 is not the one that torch runs.*nan"):
        export(broken, tmp_path / "n.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said(small_network: PlaceNetwork, tmp_path: Path) -> None:
    with pytest.raises(NetvladError, match=r"float32, float16, int8, not 'bfloat16'"):
        export(small_network, tmp_path / "n.onnx", "bfloat16")
    with pytest.raises(NetvladError, match="your own images"):
        export(small_network, tmp_path / "n.onnx", "int8")


def test_missing_package_is_named(
    small_network: PlaceNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(NetvladError, match="pip install onnxscript"):
        export(small_network, tmp_path / "n.onnx")


def test_command_puts_the_file_where_the_precision_is_looked_for(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "campus.safetensors"
    shutil.copyfile(small_checkpoint, weights)
    with pytest.raises(NetvladError, match=r"netvlad export .*campus\.safetensors SOURCE --precision int8"):
        Extractor.load(weights, "cpu", precision="int8")
    drive = write_catalogue(tmp_path / "drive", street(seed=2, metres=30), range(0, 30, 5))
    assert main(["export", str(weights), str(drive), "--precision", "int8", "--quiet"]) == 0
    assert "campus.int8.onnx: int8" in capsys.readouterr().out
    assert Extractor.load(weights, "cpu", precision="int8").precision == "int8"
