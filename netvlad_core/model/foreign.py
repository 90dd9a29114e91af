"""Any network in an ONNX file that gives one vector an image, wrapped so that it runs as our own files do."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.files import written_whole
from netvlad_core.model.engine import check_descriptors
from netvlad_core.model.onnx_engine import FORMAT, INPUT, OUTPUT, OnnxEngine, with_sum
from netvlad_core.model.preprocessing import Preprocessing, resize
from netvlad_core.model.spec import FOREIGN, NetworkSpec

_PREFIX = "foreign/"
_TRIED = (240, 320)  # pixels of the images that a new file is tried with
_DIGITS = 12  # of a model_id


def wrap_network(path: Path, output: Path, preprocessing: Preprocessing, name: str = "") -> NetworkSpec:
    """Write an ONNX file that normalises, runs a foreign network and normalises what it gives.

    Parameters
    ----------
    path : the network: one input (B, 3, H, W) float32, normalised RGB, and an output with B rows.
    preprocessing : what the network expects.
    name : of the output; empty: the only one, or the first.

    Returns
    -------
    Its description, whose dimension is that of the output.

    Raises
    ------
    CheckpointError
        If the file is damaged, is no such network, or does not run on two images at once.
    NetvladError
        If the package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise NetvladError("a foreign network is wrapped by the package onnx: pip install onnx") from error
    if not path.is_file():
        raise CheckpointError(f"there is no ONNX file {path}")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        if any(entry.value == FORMAT for entry in model.metadata_props):
            raise CheckpointError(f"{path} is a file of this package already: use it as it is")
        source = _input_of(model, path)
        result = _output_of(model, path, name)
        wrapped = _wrapped(model, source, result, preprocessing)
    except NetvladError:
        raise
    except Exception as error:  # protobuf, onnx and its checker raise classes of their own
        raise CheckpointError(f"{path} is damaged or no ONNX network: {_reason(error)}") from error
    settings = {"dimension": _dimension(wrapped, path, preprocessing)}
    spec = NetworkSpec(FOREIGN, preprocessing, aggregation=_plain(path.stem), settings=settings)
    digest = hashlib.sha256(wrapped.SerializeToString() + spec.to_json().encode()).hexdigest()[:_DIGITS]
    stated = {"format": FORMAT, "model_id": f"{spec.name}@{digest}", "spec": spec.to_json()}
    onnx.helper.set_model_props(wrapped, {**stated, "precision": "float32"})
    with written_whole(output) as partial:
        partial.write_bytes(with_sum(wrapped.SerializeToString()))
        engine = OnnxEngine(partial, "cpu")
        check_descriptors(engine.describe(_pictures()), 2, engine)
    return spec


def _input_of(model: Any, path: Path) -> Any:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in constants]
    if len(inputs) != 1:
        raise CheckpointError(f"{path} has {len(inputs)} inputs; expected one, of images (B, 3, H, W)")
    kind = inputs[0].type.tensor_type
    sides = [side.dim_value or None for side in kind.shape.dim]
    is_images = kind.elem_type == 1 and len(sides) == 4 and sides[1] in (None, 3)  # 1: float32
    if not is_images:
        raise CheckpointError(f"the input {inputs[0].name} of {path} takes no images (B, 3, H, W) in float32")
    return inputs[0]


def _output_of(model: Any, path: Path, name: str) -> str:
    names = [entry.name for entry in model.graph.output]
    if name and name not in names:
        raise CheckpointError(f"{path} has no output {name!r}; there are: {', '.join(names)}")
    return name or names[0]


def _wrapped(model: Any, source: Any, result: str, preprocessing: Preprocessing) -> Any:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.compose.add_prefix(model, _PREFIX)
    constants = {"mean": preprocessing.mean, "std": preprocessing.std}
    tensors = [
        numpy_helper.from_array(np.array(values, np.float32), key) for key, values in constants.items()
    ]
    before = [
        helper.make_node("Sub", [INPUT, "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], [_PREFIX + source.name], perm=[0, 3, 1, 2]),
    ]
    after = [
        helper.make_node("Flatten", [_PREFIX + result], ["rows"], axis=1),
        helper.make_node("LpNormalization", ["rows"], [OUTPUT], axis=1, p=2),
    ]
    images = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "height", "width", 3])
    found = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", None])
    graph = helper.make_graph(
        [*before, *model.graph.node, *after], "network", [images], [found],
        [*tensors, *model.graph.initializer],
    )  # fmt: skip
    wrapped = helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    wrapped.ir_version = model.ir_version
    return wrapped


def _dimension(wrapped: Any, path: Path, preprocessing: Preprocessing) -> int:
    """Entries of the descriptors of two images."""
    import onnxruntime

    images = resize(_pictures(), preprocessing).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            wrapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run([OUTPUT], {INPUT: images})[0]
    except Exception as error:  # ONNX Runtime raises a different class for each reason
        height, width = images.shape[1:3]
        raise CheckpointError(
            f"{path} does not run on two images of {width}x{height} pixels: {_reason(error)}; "
            "export it with a free first dimension, and state the size that it takes"
        ) from error
    if found.ndim != 2 or len(found) != 2:
        raise CheckpointError(f"{path} gives {found.shape} for two images; expected one row for each")
    return int(found.shape[1])


def _pictures() -> list[np.ndarray]:
    blocks = np.random.default_rng(0).integers(0, 256, (2, _TRIED[0] // 20, _TRIED[1] // 20, 3), np.uint8)
    return list(blocks.repeat(20, axis=1).repeat(20, axis=2))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _plain(name: str) -> str:
    """A name without what has a meaning in a model_id or a path."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "network"
