"""A network as one ONNX file: normalisation, backbone, aggregation and whitening, for any batch and size."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netvlad_core.errors import NetvladError
from netvlad_core.files import written_whole
from netvlad_core.model.aggregations import aggregation_named
from netvlad_core.model.fused_layers import fold_batch_norms
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.onnx_engine import FORMAT, INPUT, OUTPUT, OnnxEngine, with_sum
from netvlad_core.model.preprocessing import Preprocessing, resize
from netvlad_core.model.spec import ONNX_PRECISIONS

# The lowest similarity to torch in float32 with which a file is accepted, by precision. int8 must only be
# useful, since `netvlad precision` tells what it does to the recall.
_LOWEST_SIMILARITY = {"float32": 0.999999, "float16": 0.999, "int8": 0.8}

# Images that the ranges of int8 are calibrated on: more change little.
CALIBRATION_IMAGES = 100

# Old enough for the ONNX Runtime and TensorRT of robots that are not renewed each year.
_OPSET = 18
_SMALLEST_TRACED_SIDE = 32
_LARGEST_FILE_BYTES = 2**31 - 2**24
_WEIGHTED = ("Conv", "MatMul", "Gemm")
_ACTIVATIONS = ("Relu", "Clip")


@dataclass(frozen=True)
class Agreement:
    """Agreement of a file's descriptors with those of torch in float32.

    Attributes
    ----------
    images : number of images, of several sizes and in batches of several lengths.
    similarity : lowest inner product of the two descriptors of an image.
    difference : largest difference of two entries.
    """

    images: int
    similarity: float
    difference: float


def export(
    network: PlaceNetwork,
    path: Path,
    precision: str = "float32",
    images: Iterable[np.ndarray] = (),
    template: Path | None = None,
) -> Agreement:
    """Write an ONNX file for `OnnxEngine`, after a comparison of ONNX Runtime with torch.

    Parameters
    ----------
    network : the network, in float32.
    precision : one of ONNX_PRECISIONS, for the backbone. int8 has weights by channel and activations of eight
        bits, in all layers but the first.
    images : uint8 RGB (H, W, 3), to calibrate int8 and to compare with; default: random pictures.
    template : float32 file of a network that differs in its aggregation's weights only: its graph is taken,
        in a second instead of ten.

    Raises
    ------
    NetvladError
        If a package for the export is missing, the precision cannot be exported, int8 has no images, or the
        file does not compute what torch computes; then there is no file.
    """
    _check_possible(network, precision)
    preprocessing = network.spec.preprocessing
    samples = [resize([image], preprocessing) for image in images]
    if precision == "int8" and not samples:
        raise NetvladError("int8 is calibrated on your own images: name a drive, a catalogue or a folder")
    graph = _Graph(network).eval()
    is_fixed = aggregation_named(network.spec.aggregation).has_fixed_size
    if template is not None:
        model = _refitted(template, network)
    else:
        traced = graph if precision == "int8" else _Graph(network, precision).eval()
        model = _traced(traced, preprocessing.size if is_fixed else None)
    if precision == "int8":
        model = _quantized(model, samples, _aggregation_of(network))
    _describe(model, network, precision)
    with written_whole(path) as partial:
        partial.write_bytes(with_sum(model.SerializeToString()))
        samples = samples or _random_pictures(preprocessing)
        agreement = _compare(OnnxEngine(partial, "cpu"), graph, samples, is_fixed)
        if not agreement.similarity >= _LOWEST_SIMILARITY[precision]:
            raise NetvladError(
                f"the exported network in {precision} is not the one that torch runs: similarity of their "
                f"descriptors {agreement.similarity:.6f}, expected at least {_LOWEST_SIMILARITY[precision]}; "
                "no file is kept"
            )
    return agreement


def missing_packages() -> list[str]:
    """Names of what the export needs and this machine lacks."""
    return [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]


class _Graph(nn.Module):
    """What the file computes: resized images (B, H, W, 3) float32, RGB 0 to 255 -> descriptors (B, D)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: PlaceNetwork, precision: str = "float32") -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu()
        self.network.backbone = fold_batch_norms(self.network.backbone)  # else the trace takes twice as long
        self.dtype = getattr(torch, precision)
        self.network.backbone.to(self.dtype)
        preprocessing = network.spec.preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        inputs = (images.permute(0, 3, 1, 2) - self.mean) / self.std
        return self.network.aggregate(self.network.backbone(inputs.to(self.dtype)))


def _check_possible(network: PlaceNetwork, precision: str) -> None:
    if precision not in ONNX_PRECISIONS:
        known = ", ".join(ONNX_PRECISIONS)
        raise NetvladError(
            f"an ONNX file has one of {known}, not {precision!r}: ONNX Runtime has no bfloat16 convolution"
        )
    if missing := missing_packages():
        raise NetvladError(f"the export needs packages that are missing: pip install {' '.join(missing)}")
    if reason := too_large(network, precision):
        raise NetvladError(reason)


def too_large(network: PlaceNetwork, precision: str = "float32") -> str:
    """Why the network does not fit into an ONNX file, and what to do; empty if it does."""
    backbone = _bytes_of(network.backbone) // (2 if precision == "float16" else 1)
    whitening = _bytes_of(network.whitening)
    size = backbone + _bytes_of(network.aggregation) + whitening
    if size <= _LARGEST_FILE_BYTES:
        return ""
    part, remedy = "backbone", "export float16 if that is half enough, or run it by torch"
    if whitening > backbone:
        part, remedy = "whitening", "whiten to fewer dimensions"
    return (
        f"the network has {size / 1e9:.1f} GB of weights and an ONNX file holds 2 GB; most are in the "
        f"{part}: {remedy}"
    )


def _bytes_of(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _traced(graph: _Graph, size: tuple[int, ...] | None) -> Any:
    """ModelProto with free batch, and with free height and width or these."""
    sides = (torch.export.Dim(name, min=_SMALLEST_TRACED_SIDE) for name in ("height", "width"))
    free = {} if size else dict(enumerate(sides, start=1))
    with _silence():
        program = torch.onnx.export(
            graph,
            (torch.zeros(2, *(size or (98, 126)), 3),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch"), **free},),
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _refitted(template: Path, network: PlaceNetwork) -> Any:
    """The graph of a file with the aggregation of another network."""
    import onnx

    model = onnx.load(template)
    prefix = _aggregation_of(network)
    layer = {prefix + key: value.numpy() for key, value in network.aggregation.state_dict().items()}
    for tensor in model.graph.initializer:
        if tensor.name in layer:
            tensor.CopyFrom(onnx.numpy_helper.from_array(layer[tensor.name], tensor.name))
    return model


def _aggregation_of(network: PlaceNetwork) -> str:
    """How the names of its weights begin."""
    return f"network.{network.spec.aggregation}."


def _quantized(model: Any, samples: list[np.ndarray], aggregation: str) -> Any:
    """Quantise all of the backbone's weighted layers but the first, which sees the picture itself.

    The activation behind a layer is quantised with it; otherwise the range would include what the activation
    cuts off, which costs the most with ReLU6.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Samples(CalibrationDataReader):
        remaining = iter([{INPUT: sample.astype(np.float32)} for sample in samples])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.remaining, None)

    constants = {tensor.name for tensor in model.graph.initializer}
    backbone = list(
        takewhile(lambda node: not any(name.startswith(aggregation) for name in node.input), model.graph.node)
    )
    layers = [node for node in backbone if node.op_type in _WEIGHTED and node.input[1] in constants][1:]
    outputs = {layer.output[0] for layer in layers}
    activations = [node for node in backbone if node.op_type in _ACTIVATIONS and node.input[0] in outputs]
    with _silence(), TemporaryDirectory() as folder:
        target = Path(folder) / "quantized.onnx"
        quantize_static(
            model,
            target,
            Samples(),
            op_types_to_quantize=[*_WEIGHTED, *_ACTIVATIONS],
            nodes_to_quantize=[node.name for node in (*layers, *activations)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def _describe(model: Any, network: PlaceNetwork, precision: str) -> None:
    from onnx.helper import set_model_props

    # What the exporter notes for its own authors, with paths of this machine in it.
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
    stated = {"format": FORMAT, "model_id": network.fingerprint(), "spec": network.spec.to_json()}
    set_model_props(model, {**stated, "precision": precision})


def _random_pictures(preprocessing: Preprocessing) -> list[np.ndarray]:
    """Blocks of random colours, resized: (1, H, W, 3) each."""
    generator = np.random.default_rng(0)
    blocks = (generator.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(3))
    return [resize([picture.repeat(20, axis=0).repeat(20, axis=1)], preprocessing) for picture in blocks]


def _compare(engine: OnnxEngine, graph: _Graph, samples: list[np.ndarray], is_fixed: bool) -> Agreement:
    """Compare on a whole image, and on a wide and a high part of images, in batches of one, two and three.

    If the size is fixed, the parts are whole images, too.
    """
    alike = [sample for sample in samples if sample.shape == samples[0].shape]
    chosen = np.resize(np.arange(len(alike)), 3)  # the first ones again if there are fewer
    pixels = np.concatenate([alike[index] for index in chosen]).astype(np.float32)
    height, width = pixels.shape[1:3]
    wide, high = max(_SMALLEST_TRACED_SIDE, height // 2 + 1), max(_SMALLEST_TRACED_SIDE, width // 3 + 2)
    if is_fixed:
        wide, high = height, width
    similarities, differences = [], []
    for batch in (pixels[:1], pixels[:2, :wide], pixels[:, :, :high]):
        with torch.inference_mode():
            expected = graph(torch.from_numpy(batch)).numpy()
        difference = engine.run(np.ascontiguousarray(batch)).astype(np.float64) - expected
        # For unit vectors this is their inner product, without its rounding near 1.
        similarities += list(1 - (difference**2).sum(axis=1) / 2)
        differences.append(np.abs(difference).max())
    return Agreement(len(similarities), float(np.min(similarities)), float(np.max(differences)))


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's progress and advice for its authors off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
