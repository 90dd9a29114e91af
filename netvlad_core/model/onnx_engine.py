"""A network run by ONNX Runtime: a robot needs neither torch nor the code of the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.preprocessing import resize
from netvlad_core.model.spec import NetworkSpec

# Metadata and names in the file, written by `netvlad_core.model.export`.
FORMAT = "netvlad_ros network 1"
INPUT, OUTPUT = "images", "descriptors"
_LOG_ERRORS = 3  # warnings are about optimisations that the runtime could not do


class OnnxEngine(Engine):
    """Runs a file of `netvlad export`, which normalises images itself; all calls share the session's threads.

    `device` is "auto" (CUDA if this ONNX Runtime has it), "cpu", "cuda", "cuda:1", ...
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        self._session = _open_session(path, device)
        metadata = self._session.get_modelmeta().custom_metadata_map
        found = metadata.get("format", "no format at all")
        if found != FORMAT:
            raise CheckpointError(f"{path} states {found!r}; expected {FORMAT!r} of `netvlad export`")
        try:
            self.model_id = metadata["model_id"]
            self.precision = metadata["precision"]
            self.spec = NetworkSpec.from_json(metadata["spec"])
        except (KeyError, CheckpointError) as error:
            raise CheckpointError(f"{path} is damaged, its metadata are not whole: {error}") from error
        self.device = f"{self._session.get_providers()[0].removesuffix('ExecutionProvider')} (ONNX Runtime)"

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
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a different class for each way a file can be broken
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"ONNX Runtime cannot open {path}: {reason}") from error


def _providers(device: str, available: Sequence[str]) -> list[Any]:
    kind, _, number = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in available
    if kind == "cpu" or (kind == "auto" and not has_cuda):
        return ["CPUExecutionProvider"]
    if kind in ("cuda", "auto") and has_cuda:
        return [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]
    raise NetvladError(
        f"this ONNX Runtime cannot use the device {device!r}, it has {', '.join(available)}; 'auto' takes "
        "what is there, and onnxruntime-gpu has CUDA"
    )
