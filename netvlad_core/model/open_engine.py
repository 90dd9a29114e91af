"""Which engine runs a network: the fastest one that this machine has."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError, safe_open

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.engine import Engine
from netvlad_core.model.onnx_engine import OnnxFacts
from netvlad_core.model.spec import FOREIGN, PRECISIONS

_log = logging.getLogger(__name__)

ENGINES = ("openvino", "onnxruntime", "torch")


def open_engine(weights: Path, device: str = "auto", precision: str = "auto", engine: str = "auto") -> Engine:
    """Open a checkpoint or an ONNX file with the fastest engine that can run it.

    On a CPU that is OpenVINO, then ONNX Runtime, then torch; on a GPU ONNX Runtime if it has TensorRT, then
    torch, then ONNX Runtime. OpenVINO and ONNX Runtime run the ONNX file itself or the one beside a
    checkpoint, `model.float32.onnx` for `model.safetensors`, unless it was exported from other weights.

    Parameters
    ----------
    device : "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", ...
    precision : one of PRECISIONS; "auto" is int8 for a file in int8, else bfloat16 by OpenVINO or float16 by
        torch on a GPU if CPU or GPU computes in it, else that of the file.
    engine : one of ENGINES, or "auto".

    Raises
    ------
    CheckpointError
        If there is no file, it is damaged, or none can run in the precision here.
    NetvladError
        If there is no such engine, device or precision.
    """
    if precision not in ("auto", *PRECISIONS):
        raise NetvladError(f"unknown precision {precision!r}; there are: auto, {', '.join(PRECISIONS)}")
    if engine not in ("auto", *ENGINES):
        raise NetvladError(f"unknown engine {engine!r}; there are: auto, {', '.join(ENGINES)}")
    for name in _by_speed(device) if engine == "auto" else (engine,):
        opened = _OPENERS[name](weights, device, precision) if find_spec(name) else None
        if opened is not None:
            return opened
    raise CheckpointError(_why_not(weights, precision, engine))


def variant_path(weights: Path, precision: str) -> Path:
    """Where the ONNX file of a precision stands beside the weights that it was made from."""
    name = weights.stem
    for suffix in PRECISIONS:
        name = name.removesuffix(f".{suffix}")
    return weights.with_name(f"{name}.{precision}.onnx")


def _openvino(weights: Path, device: str, precision: str) -> Engine | None:
    from netvlad_core.model.openvino_engine import OpenVinoEngine

    if device not in ("auto", "cpu"):
        return None
    return _first_fit(weights, precision, lambda file: OpenVinoEngine.open(file, precision))


def _onnxruntime(weights: Path, device: str, precision: str) -> Engine | None:
    from netvlad_core.model.onnx_engine import OnnxEngine

    return _first_fit(weights, precision, lambda file: OnnxEngine.open(file, device, precision))


def _torch(weights: Path, device: str, precision: str) -> Engine | None:
    if weights.suffix == ".onnx" or precision == "int8":
        return None
    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.model.torch_engine import TorchEngine

    return TorchEngine(load_checkpoint(weights), device, precision, is_own=True)


_OPENERS = {"openvino": _openvino, "onnxruntime": _onnxruntime, "torch": _torch}


def _first_fit(weights: Path, precision: str, open_file: Callable[[Path], Engine | None]) -> Engine | None:
    """Open the ONNX file named, or else the one beside the weights that has the precision."""
    if weights.suffix == ".onnx" and (engine := open_file(weights)):
        return engine
    variant = variant_path(weights, precision if precision in ("int8", "float16") else "float32")
    if variant == weights or not variant.is_file() or not (engine := open_file(variant)):
        return None
    if weights.suffix == ".onnx" or engine.model_id == _stated_model(weights):
        return engine
    _log.warning(
        "%s is left alone: it is the network %s, not the one of %s; make it anew: netvlad export %s",
        variant, engine.model_id, weights.name, weights,
    )  # fmt: skip
    return None


def _stated_model(checkpoint: Path) -> str:
    """The model_id that a checkpoint states; nothing is computed with its weights."""
    if not checkpoint.is_file():
        raise CheckpointError(f"there is no checkpoint {checkpoint}")
    try:
        with safe_open(checkpoint, framework="numpy") as file:
            return (file.metadata() or {}).get("model_id", "")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the checkpoint {checkpoint} is damaged: {error}") from error


def _by_speed(device: str) -> tuple[str, ...]:
    if device == "cpu" or (device == "auto" and not _has_cuda()):
        return ("openvino", "onnxruntime", "torch")
    has_tensorrt = _onnxruntime_has("TensorrtExecutionProvider")
    return ("onnxruntime", "torch") if has_tensorrt else ("torch", "onnxruntime")


def _has_cuda() -> bool:
    """Whether there is a GPU. Importing torch to ask takes seconds, so the driver is looked for first."""
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    if find_spec("torch"):
        import torch

        return torch.cuda.is_available()
    return _onnxruntime_has("CUDAExecutionProvider")


def _onnxruntime_has(provider: str) -> bool:
    if not find_spec("onnxruntime"):
        return False
    import onnxruntime

    return provider in onnxruntime.get_available_providers()


def _why_not(weights: Path, precision: str, engine: str) -> str:
    if not weights.is_file():
        return f"there is no {'ONNX file' if weights.suffix == '.onnx' else 'checkpoint'} {weights}"
    if engine != "auto" and not find_spec(engine):
        return f"{weights} cannot be run by {engine}, which is not installed: pip install {engine}"
    if engine == "torch" and weights.suffix == ".onnx":
        return f"torch runs checkpoints, and {weights} is an ONNX file"
    if not any(map(find_spec, ENGINES)):
        return f"nothing here can run {weights}: pip install openvino"
    if precision == "bfloat16":
        return (
            f"{weights} cannot run in bfloat16 here: that takes torch and a checkpoint, or OpenVINO and a "
            "CPU that computes in it"
        )
    if weights.suffix == ".onnx" and OnnxFacts.read(weights).spec.backbone == FOREIGN:
        return (
            f"{weights} cannot run in {precision}: a network of another project keeps the precision of its "
            "file; take 'auto'"
        )
    wanted = "float32" if precision == "auto" else precision
    without = "" if find_spec("torch") else " without torch"
    example = "SOURCE " if precision == "int8" else ""
    return (
        f"{weights} cannot run in {wanted}{without}, and there is no {variant_path(weights, wanted)} of it; "
        f"make one on a machine with torch: netvlad export {weights} {example}--precision {wanted}"
    )
