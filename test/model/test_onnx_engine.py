"""ONNX files: a changed one is refused by every engine. ONNX Runtime: its devices, and if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.onnx_engine import OnnxEngine, OnnxFacts, _providers, with_sum
from netvlad_core.model.open_engine import open_engine, variant_path

_ENGINES = ("openvino", "onnxruntime")
_SUM_LENGTH = 76


@pytest.fixture(scope="module")
def content(small_checkpoint: Path) -> bytes:
    return variant_path(small_checkpoint, "float32").read_bytes()


def test_any_flipped_bit_is_refused_or_harmless(content: bytes, tmp_path: Path) -> None:
    """Beyond the sum itself, whose loss leaves a whole network, nothing may pass."""
    path = tmp_path / "flipped.onnx"
    random = np.random.default_rng(0)
    near_the_end = len(content) - 2000 + random.integers(0, 2000 - _SUM_LENGTH, 100)
    for place in [*random.integers(0, len(content) - _SUM_LENGTH, 100), *near_the_end]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"flipped\.onnx"):
            OnnxFacts.read(path)


@pytest.mark.parametrize("engine", _ENGINES)
def test_weights_that_have_changed_are_refused(engine: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content[:200_000] + bytes(4) + content[200_004:])
    with pytest.raises(CheckpointError, match=r"net\.onnx is damaged: its checksum is wrong"):
        open_engine(path, "cpu", engine=engine)


def test_cut_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    for end in (0, 1, 100, len(content) // 2, len(content) - _SUM_LENGTH - 200, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(CheckpointError, match=r"cut\.onnx"):
            OnnxFacts.read(path)


@pytest.mark.parametrize("engine", _ENGINES)
def test_older_file_without_a_sum_is_read(
    engine: str, content: bytes, street_views: list[np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "new.onnx").write_bytes(content)
    (tmp_path / "old.onnx").write_bytes(content[:-_SUM_LENGTH])
    new, old = (Extractor.load(tmp_path / f"{n}.onnx", "cpu", engine=engine) for n in ("new", "old"))
    assert (new.engine.is_whole, old.engine.is_whole) == (True, False)
    np.testing.assert_array_equal(old(street_views), new(street_views))


def changed(content: bytes, path: Path, change: str) -> Path:
    """A network that cannot be right, without a sum."""
    model = onnx.load_from_string(content[:-_SUM_LENGTH])
    if change == "nan":
        tensor = next(t for t in model.graph.initializer if t.name.endswith("centroids"))
        tensor.raw_data = np.full(tensor.dims, np.nan, np.float32).tobytes()
    elif change == "long":
        scale = onnx.numpy_helper.from_array(np.float32(100), "scale")
        model.graph.initializer.append(scale)
        renamed = model.graph.node[-1]
        renamed.output[0] = "short"
        model.graph.node.append(onnx.helper.make_node("Mul", ["short", "scale"], ["descriptors"]))
    elif change == "huge":
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 << 50]), "size"))
        model.graph.node[-1].output[0] = "short"
        model.graph.node.append(onnx.helper.make_node("Expand", ["short", "size"], ["many"]))
        model.graph.node.append(onnx.helper.make_node("ReduceMax", ["many"], ["descriptors"], keepdims=0))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize("change", ["nan", "long"])
def test_older_file_is_tried_out_when_it_is_opened(
    engine: str, change: str, content: bytes, tmp_path: Path
) -> None:
    path = changed(content, tmp_path / "odd.onnx", change)
    fault = {"nan": "not finite", "long": "not of length 1"}[change]
    with pytest.raises(CheckpointError, match=rf"descriptors that are {fault}.*export or fit it again"):
        Extractor.load(path, "cpu", engine=engine)


@pytest.mark.parametrize("engine", _ENGINES)
def test_graph_that_takes_all_memory_is_refused_when_it_is_opened(
    engine: str, content: bytes, tmp_path: Path
) -> None:
    path = changed(content, tmp_path / "huge.onnx", "huge")
    with pytest.raises(NetvladError, match=r"huge\.onnx|cannot run the network"):
        Extractor.load(path, "cpu", engine=engine)


def test_packaged_file_carries_its_sum() -> None:
    assert OnnxFacts.read(variant_path(PACKAGED_NETWORK, "float32")).is_whole


def test_what_tensorrt_keeps_is_of_one_file_alone(content: bytes, tmp_path: Path) -> None:
    """ONNX Runtime would take what it kept of another network of this shape and file name."""
    paths = [tmp_path / name / "model.float32.onnx" for name in "ab"]
    for path, model in zip(paths, (content, changed(content, tmp_path / "c", "nan").read_bytes())):
        path.parent.mkdir()
        path.write_bytes(with_sum(model))
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    folders = [
        _providers("cuda", available, OnnxFacts.read(path).digest)[0][1]["trt_engine_cache_path"]
        for path in paths
    ]
    assert folders[0] != folders[1]


def test_missing_runtime_is_named(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetvladError, match="pip install onnxruntime"):
        OnnxEngine(variant_path(small_checkpoint, "float32"))


def test_device_that_is_not_here_is_named(small_checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match=r"'tpu', it has .*CPUExecutionProvider"):
        OnnxEngine(variant_path(small_checkpoint, "float32"), "tpu")
