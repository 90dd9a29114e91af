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
_SAME = 1e-4  # most difference of an entry, of descriptors of length 1, between an image alone and in a batch
_DIGITS = 12  # of a model_id


def wrap_network(path: Path, output: Path, preprocessing: Preprocessing, name: str = "") -> NetworkSpec:
    """Write an ONNX file that normalises, runs a foreign network and normalises what it gives.

    A network that takes one image at a time, or whose descriptors depend on the other images of a batch, is
    run for each image by itself.

    Parameters
    ----------
    path : the network: one input (B, 3, H, W) float32, normalised RGB, and an output with B rows; B may be 1.
    preprocessing : what the network expects.
    name : of the output; empty: the only one, or the first.

    Returns
    -------
    Its description, whose dimension is that of the output.

    Raises
    ------
    CheckpointError
        If the file is damaged, is no such network, or does not give images of all sizes that the
        preprocessing allows as many numbers.
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
        rows = _tried(wrapped, path, preprocessing)
        if not _is_the_same_in_a_batch(wrapped, rows, preprocessing):
            wrapped = _wrapped(model, source, result, preprocessing, one_by_one=True)
    except NetvladError:
        raise
    except Exception as error:  # protobuf, onnx and its checker raise classes of their own
        raise CheckpointError(f"{path} is damaged or no ONNX network: {_reason(error)}") from error
    settings = {"dimension": rows.shape[1]}
    spec = NetworkSpec(FOREIGN, preprocessing, aggregation=_plain(path.stem), settings=settings)
    digest = hashlib.sha256(wrapped.SerializeToString() + spec.to_json().encode()).hexdigest()[:_DIGITS]
    stated = {"format": FORMAT, "model_id": f"{spec.name}@{digest}", "spec": spec.to_json()}
    onnx.helper.set_model_props(wrapped, {**stated, "precision": "float32"})
    with written_whole(output) as partial:
        partial.write_bytes(with_sum(wrapped.SerializeToString()))
        engine = OnnxEngine(partial, "cpu")
        found = engine.describe(_pictures())
        check_descriptors(found, 2, engine)
        if not np.allclose(found, rows[:2], atol=_SAME):
            raise CheckpointError(
                f"{path} gives an image another descriptor each time; export it in evaluation mode"
            )
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


def _wrapped(
    model: Any, source: Any, result: str, preprocessing: Preprocessing, one_by_one: bool = False
) -> Any:
    """The network between images and descriptors, for all images of a batch at once or for each by itself."""
    from onnx import TensorProto, compose, helper, numpy_helper

    part = _each_alone if one_by_one else _all_at_once
    nodes, tensors = part(compose.add_prefix(model, _PREFIX), _PREFIX + source.name, _PREFIX + result)
    constants = {"mean": preprocessing.mean, "std": preprocessing.std}
    tensors += [numpy_helper.from_array(np.array(value, np.float32), key) for key, value in constants.items()]
    graph = helper.make_graph(
        [
            helper.make_node("Sub", [INPUT, "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["scaled"]),
            helper.make_node("Transpose", ["scaled"], ["normal"], perm=[0, 3, 1, 2]),
            *nodes,
            helper.make_node("Flatten", ["found"], ["rows"], axis=1),
            helper.make_node("LpNormalization", ["rows"], [OUTPUT], axis=1, p=2),
        ],
        "network",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", None])],
        tensors,
    )
    wrapped = helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    wrapped.ir_version = model.ir_version
    return wrapped


def _all_at_once(model: Any, taken: str, given: str) -> tuple[list[Any], list[Any]]:
    """Nodes and tensors that make `found` of `normal`."""
    from onnx import helper

    ends = [helper.make_node("Identity", *names) for names in ((["normal"], [taken]), ([given], ["found"]))]
    return [ends[0], *model.graph.node, ends[1]], list(model.graph.initializer)


def _each_alone(model: Any, taken: str, given: str) -> tuple[list[Any], list[Any]]:
    """The same for each image of the batch: the network is the body of a loop."""
    from onnx import TensorProto, helper, numpy_helper

    version = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if version < 13:  # axes are an attribute
        batch, axes = helper.make_node("Unsqueeze", ["one"], [taken], axes=[0]), []
    else:
        batch = helper.make_node("Unsqueeze", ["one", "axes"], [taken])
        axes = [numpy_helper.from_array(np.array([0]), "axes")]
    body = helper.make_graph(
        [batch, *model.graph.node, helper.make_node("Flatten", [given], ["row"], axis=1)],
        "each",
        [helper.make_tensor_value_info("one", TensorProto.FLOAT, [3, None, None])],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [None, None])],
        [*axes, *model.graph.initializer],
    )
    return [helper.make_node("Scan", ["normal"], ["found"], body=body, num_scan_inputs=1)], []


def _tried(wrapped: Any, path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """Descriptors (N, D) of single images, of two shapes unless the preprocessing makes them one.

    Raises
    ------
    CheckpointError
        If one of them is not of D numbers, or the network does not run on it.
    """
    lying = _pictures()
    square = lying[0][:, : _TRIED[0]]
    images = lying if preprocessing.resize == "exact" else [*lying, square]
    rows: list[np.ndarray] = []
    for image in images:
        resized = resize([image], preprocessing)
        height, width = resized.shape[1:3]
        try:
            found = _run(wrapped, resized)
        except Exception as error:  # ONNX Runtime raises a different class for each reason
            raise CheckpointError(
                f"{path} does not run on an image of {width}x{height} pixels: {_reason(error)}; "
                "state the size that it takes"
            ) from error
        if found.ndim != 2 or len(found) != 1:
            raise CheckpointError(f"{path} gives {found.shape} for one image; expected one row")
        if rows and found.shape != rows[0].shape:
            raise CheckpointError(
                f"{path} gives {found.shape[1]} numbers for an image of {width}x{height} pixels and "
                f"{rows[0].shape[1]} for one of another shape; state one size for all images"
            )
        rows.append(found)
    return np.concatenate(rows)


def _is_the_same_in_a_batch(wrapped: Any, rows: np.ndarray, preprocessing: Preprocessing) -> bool:
    try:
        found = _run(wrapped, resize(_pictures(), preprocessing))
    except Exception:  # as above: it takes one image at a time
        return False
    return found.shape == rows[:2].shape and np.allclose(found, rows[:2], atol=_SAME)


def _run(wrapped: Any, resized: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        wrapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run([OUTPUT], {INPUT: resized.astype(np.float32)})[0]


def _pictures() -> list[np.ndarray]:
    blocks = np.random.default_rng(0).integers(0, 256, (2, _TRIED[0] // 20, _TRIED[1] // 20, 3), np.uint8)
    return list(blocks.repeat(20, axis=1).repeat(20, axis=2))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _plain(name: str) -> str:
    """A name without what has a meaning in a model_id or a path."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "network"
