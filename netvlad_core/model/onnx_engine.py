"""A network run by ONNX Runtime: a robot needs neither torch nor the code of the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.preprocessing import resize
from netvlad_core.model.spec import NetworkSpec

# Written by `netvlad_core.model.export`.
FORMAT = "netvlad_ros network 1"
INPUT, OUTPUT = "images", "descriptors"
_LOG_ERRORS = 3  # warnings are about optimisations that the runtime could not do
# The fastest first.
_TENSORRT, _CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxFacts:
    """The metadata of a file.

    Attributes
    ----------
    model_id : fingerprint of the network in float32.
    spec : description of the network.
    precision : one of ONNX_PRECISIONS, in which its weights are stored.
    """

    model_id: str
    spec: NetworkSpec
    precision: str

    @classmethod
    def of(cls, metadata: Mapping[str, str], path: Path) -> OnnxFacts:
        """Read and check; raises CheckpointError that names the file."""
        if metadata.get("format") != FORMAT:
            found = metadata.get("format", "no format at all")
            raise CheckpointError(
                f"{path} states {found!r}; expected {FORMAT!r}, as `netvlad export` writes it"
            )
        try:
            return cls(metadata["model_id"], NetworkSpec.from_json(metadata["spec"]), metadata["precision"])
        except (KeyError, CheckpointError) as error:
            raise CheckpointError(f"{path} is damaged, its metadata are not whole: {error}") from error


class OnnxEngine(Engine):
    """Runs a file of `netvlad export`, which normalises images itself; all calls share the session's threads.

    `device` is "auto" (CUDA if this ONNX Runtime has it), "cpu", "cuda", "cuda:1", ...
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        self._session = _open_session(path, device)
        facts = OnnxFacts.of(self._session.get_modelmeta().custom_metadata_map, path)
        self.model_id, self.spec, self.precision = facts.model_id, facts.spec, facts.precision
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        threads = f", {allowed_threads()} threads" if provider == "CPU" else ""
        self.device = f"{provider} (ONNX Runtime{threads})"

    @classmethod
    def open(cls, path: Path, device: str, precision: str) -> OnnxEngine | None:
        """Open a file; None if it is not in this precision."""
        engine = cls(path, device)
        return engine if precision in ("auto", engine.precision) else None

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.run(resize(images, self.spec.preprocessing).astype(np.float32, copy=False))

    def run(self, resized: np.ndarray) -> np.ndarray:
        """Descriptors of images that have their size already: (B, H, W, 3) float32, RGB 0 to 255."""
        return self._session.run([OUTPUT], {INPUT: resized})[0]


def _open_session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NetvladError(
            f"{path} needs ONNX Runtime, which is not installed: pip install onnxruntime"
        ) from error
    if not path.is_file():
        raise CheckpointError(f"there is no ONNX file {path}")
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS
        options.intra_op_num_threads = allowed_threads()
        # Threads that spin until the next image come to three times the processor time, at the same speed.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a different class for each way a file can be broken
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"ONNX Runtime cannot open {path}: {reason}") from error


def _providers(device: str, available: Sequence[str]) -> list[Any]:
    kind, _, number = device.partition(":")
    gpu = [name for name in (_TENSORRT, _CUDA) if name in available]
    if kind == "cpu" or (kind == "auto" and not gpu):
        return ["CPUExecutionProvider"]
    if kind in ("cuda", "auto") and gpu:
        options = {"device_id": number or "0"}
        chosen = [(name, options | _cache() if name == _TENSORRT else options) for name in gpu]
        return [*chosen, "CPUExecutionProvider"]
    raise NetvladError(
        f"this ONNX Runtime cannot use the device {device!r}, it has {', '.join(available)}; 'auto' takes "
        "what is there, and onnxruntime-gpu has CUDA"
    )


def _cache() -> dict[str, str]:
    """TensorRT takes minutes to make its own network of a shape, and keeps it in the user's folder."""
    folder = Path(os.path.expanduser("~"), ".cache", "netvlad_ros", "tensorrt")
    return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
