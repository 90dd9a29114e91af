"""Networks of other projects in ONNX files: odd, damaged, changed after they were wrapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.damage import damaged
from faults.inputs import scene
from faults.trial import Bad, Fault
from netvlad_core.errors import NetvladError
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.foreign import wrap_network
from netvlad_core.model.onnx_engine import with_sum
from netvlad_core.model.preprocessing import Preprocessing

_PREPROCESSING = Preprocessing("exact", (48, 64), (120.0, 120.0, 120.0), (60.0, 60.0, 60.0))
_MOST_DIFFERENCE = 1e-5
_ENGINES = ("onnxruntime", "openvino")


def foreign_networks(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Files of others that are odd or damaged, and files that were changed after they were wrapped."""
    theirs = _network()
    expected = _said(folder, theirs)
    ours = (folder / "ours.onnx").read_bytes()
    for name, content in _odd().items():
        yield Fault(f"theirs, {name}", partial(_wrapped_and_run, folder, content))
    for name, content in _of_other_form().items():
        yield Fault(f"theirs, {name}", partial(_agrees, folder, content, expected))
    for what, content in damaged(theirs, rng, round(120 * share)):
        yield Fault(f"theirs, {what}", partial(_wrapped_and_run, folder, content))
    for what, content in damaged(ours, rng, round(60 * share)):
        for engine in _ENGINES:
            yield Fault(f"ours, {what}, {engine}", partial(_runs_as, folder, content, engine, expected))
    for name, content in _restated(ours):
        yield Fault(f"ours, {name}", partial(_runs_as, folder, content, _ENGINES[0], expected))


def _wrapped_and_run(folder: Path, content: bytes) -> None:
    """Refused, or something that gives descriptors: an unknown file cannot be known to be another one."""
    descriptor = _said(folder, content)
    if not np.isfinite(descriptor).all() or abs(np.linalg.norm(descriptor) - 1) > 1e-3:
        raise Bad("silent: no descriptor of length 1")


def _agrees(folder: Path, content: bytes, expected: np.ndarray) -> None:
    try:
        found = _said(folder, content)
    except NetvladError as error:
        raise Bad(f"refused: {error}") from error
    if np.abs(found - expected).max() > _MOST_DIFFERENCE:
        raise Bad("silent: another descriptor")


def _said(folder: Path, content: bytes) -> np.ndarray:
    """Descriptor of a picture by a file that is wrapped as `netvlad import-weights` does it."""
    theirs, ours = folder / "theirs.onnx", folder / "ours.onnx"
    ours.unlink(missing_ok=True)
    theirs.write_bytes(content)
    wrap_network(theirs, ours, _PREPROCESSING)
    return Extractor.load(ours, "cpu", precision="float32")(scene())[0]


def _runs_as(folder: Path, content: bytes, engine: str, expected: np.ndarray) -> None:
    path = folder / "changed.onnx"
    path.write_bytes(content)
    extractor = Extractor.load(path, "cpu", precision="float32", engine=engine)
    found = extractor(scene())[0]
    if extractor.model_id.split("@")[0] == "theirs" and np.abs(found - expected).max() > _MOST_DIFFERENCE:
        raise Bad("silent: another descriptor under the same name")


def _network(
    nodes: Callable[[Any], list[Any]] | None = None,
    names: tuple[str, str] = ("x", "y"),
    batch: str | int = "batch",
    kinds: tuple[int, ...] = (1,),
    outputs: tuple[Any, ...] = ("batch", 8),
) -> bytes:
    """A convolution and its mean by channel, or other nodes between the same ends."""
    from onnx import helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(8, 3, 5, 5)).astype(np.float32)
    given, found = names
    body = (
        [
            helper.make_node("Conv", [given, "weight"], ["map"], strides=[4, 4]),
            helper.make_node("GlobalMaxPool", ["map"], ["most"]),
            helper.make_node("Flatten", ["most"], [found], axis=1),
        ]
        if nodes is None
        else nodes(helper)
    )
    graph = helper.make_graph(
        body, "network",
        [
            helper.make_tensor_value_info(f"{given}{number or ''}", kind, [batch, 3, 48, 64])
            for number, kind in enumerate(kinds)
        ],
        [helper.make_tensor_value_info(found, 1, outputs)],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([1, -1]), "one_row")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _then(*operations: str) -> Callable[[Any], list[Any]]:
    """The convolution, and one operation after the other on its means."""

    def nodes(helper: Any) -> list[Any]:
        names = ["means", *(f"after{number}" for number in range(len(operations)))]
        return [
            helper.make_node("Conv", ["x", "weight"], ["map"], strides=[4, 4]),
            helper.make_node("GlobalAveragePool", ["map"], ["means"]),
            *(
                helper.make_node(operation, [before], [after])
                for operation, before, after in zip(operations, names, names[1:], strict=False)
            ),
            helper.make_node("Flatten", [names[-1]], ["y"], axis=1),
        ]

    return nodes


def _odd() -> dict[str, bytes]:
    """Networks that give no descriptors, or take no images."""

    def boundless(helper: Any) -> list[Any]:
        constant = helper.make_tensor("size", 7, [2], [1 << 20, 1 << 20])
        return [
            helper.make_node("Constant", [], ["size"], value=constant),
            helper.make_node("ConstantOfShape", ["size"], ["ones"]),
            helper.make_node("ReduceMean", ["ones"], ["mean"], keepdims=1),
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("Add", ["flat", "mean"], ["y"]),
        ]

    return {
        "nothing": b"",
        "text": b"a network\n",
        "zeros": bytes(4096),
        "no nodes": _network(lambda helper: []),
        "two inputs": _network(kinds=(1, 1)),
        "half precision": _network(kinds=(10,)),
        "bytes": _network(kinds=(2,)),
        "not a number": _network(_then("Neg", "Abs", "Neg", "Sqrt")),
        "infinite": _network(_then("Exp", "Exp", "Exp", "Exp")),
        "all zero": _network(_then("Abs", "Neg", "Relu")),
        "random": _network(_then("RandomNormalLike")),
        "unknown operation": _network(_then("Describe")),
        "a number for all images": _network(lambda h: [h.make_node("ReduceMean", ["x"], ["y"])]),
        "a terabyte": _network(boundless),
        "sizes that lie": _network(batch=4, outputs=(4, 99)),
        "a circle": _network(
            lambda h: [h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Neg", ["a"], ["b"])]
        ),
    }


def _of_other_form() -> dict[str, bytes]:
    """The same network as others export it."""

    def one_row(helper: Any) -> list[Any]:
        return [
            helper.make_node("Conv", ["x", "weight"], ["map"], strides=[4, 4]),
            helper.make_node("GlobalMaxPool", ["map"], ["most"]),
            helper.make_node("Reshape", ["most", "one_row"], ["y"]),
        ]

    ours = ("images", "descriptors"), ("mean", "std"), ("foreign/x", "rows"), ("one", "axes"), ("", "y")
    named = {
        f"ends named {given!r} and {found!r}": _network(names=(given, found)) for given, found in ours[:-1]
    }
    return named | {
        "one image at a time": _network(one_row, batch=1, outputs=(1, 8)),
        "batch of one": _network(batch=1, outputs=(1, 8)),
    }


def _restated(ours: bytes) -> Iterator[tuple[str, bytes]]:
    """What our file says of itself, changed under a right sum."""
    import onnx

    model = onnx.load_from_string(ours)
    facts = {entry.key: entry.value for entry in model.metadata_props if entry.key != "sha256"}
    spec = json.loads(facts["spec"])

    def with_facts(**changes: Any) -> bytes:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        del changed.metadata_props[:]
        kept = {key: value for key, value in (facts | changes).items() if value is not None}
        onnx.helper.set_model_props(changed, kept)
        return with_sum(changed.SerializeToString())

    for key in facts:
        yield f"without {key}", with_facts(**{key: None})
        yield f"{key} of nothing", with_facts(**{key: ""})
    preprocessings: list[dict[str, Any]] = [
        {"size": [1, 1]}, {"size": [10**9, 10**9]}, {"size": []}, {"std": [0, 0, 0]}, {"resize": "magic"},
        {"mean": [float("nan")] * 3}, {"filter": "none"},
    ]  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"settings": {"dimension": 9}}, {"settings": {"dimension": 0}}, {"settings": {}}, {"settings": None},
        {"backbone": "vgg16"}, {"backbone": "none"}, {"clusters": 2**40}, {"whitened_dimension": 4},
        {"aggregation": "x" * 10_000}, {"unknown": 1}, {"preprocessing": None},
        *({"preprocessing": spec["preprocessing"] | one} for one in preprocessings),
    ]  # fmt: skip
    for change in changes:
        yield f"{change}"[:60], with_facts(spec=json.dumps(spec | change))
    yield "wrong sum", ours[:-1] + (b"0" if ours[-1:] != b"0" else b"1")
    yield "sum of another file", ours[:-64] + b"0" * 64
