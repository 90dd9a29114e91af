"""A network run by OpenVINO: the fastest engine on a CPU."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.onnx_engine import INPUT, OnnxFacts
from netvlad_core.model.preprocessing import resize

# A network compiled for one shape is up to a quarter faster, and takes 0.3 s to compile: worth it for the
# shape of a camera and of its last batch, not for each picture of a folder.
_FIXED_SHAPES = 2


class OpenVinoEngine(Engine):
    """Runs a file of `netvlad export`, which normalises images itself.

    Parameters
    ----------
    path : file in any of ONNX_PRECISIONS.
    precision : "float32", "bfloat16" or "int8"; "auto" is int8 for a file in int8, else bfloat16 if the CPU
        computes in it, else float32.

    Raises
    ------
    CheckpointError
        If there is no such file or it is damaged.
    NetvladError
        If OpenVINO is missing, or the file cannot run in the precision here.
    """

    def __init__(self, path: Path, precision: str = "auto") -> None:
        facts = OnnxFacts.read(path)
        self._core, self._model = read_model(path)
        self.model_id, self.spec, self.is_whole = facts.model_id, facts.spec, facts.is_whole
        possible = _possible_precisions(self._core, facts.precision)
        if precision not in ("auto", *possible):
            known = ", ".join(possible)
            raise NetvladError(f"OpenVINO runs {path} in {known} on this CPU, not in {precision}")
        self.precision = possible[0] if precision == "auto" else precision
        self.device = f"CPU (OpenVINO, {allowed_threads()} threads)"
        self._workers = 1
        self._lock = Lock()
        # By shape, None for any shape: the compiled network, and its requests that wait for work.
        self._compiled: dict[tuple[int, ...] | None, Any] = {}
        self._idle: dict[tuple[int, ...] | None, deque[Any]] = {}

    @classmethod
    def open(cls, path: Path, precision: str) -> OpenVinoEngine | None:
        """Open a file; None if it cannot run in this precision here."""
        try:
            return cls(path, precision)
        except CheckpointError:
            raise
        except NetvladError:
            return None

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.run(resize(images, self.spec.preprocessing).astype(np.float32, copy=False))

    @contextmanager
    def serving(self, workers: int) -> Iterator[Callable[[], None]]:
        self._start_anew(workers)
        try:
            yield lambda: None  # each request has its share of the threads
        finally:
            self._start_anew(1)

    def run(self, resized: np.ndarray) -> np.ndarray:
        """Descriptors of images that have their size already: (B, H, W, 3) float32, RGB 0 to 255."""
        compiled, idle = self._compiled_for(resized.shape)
        try:
            request = idle.pop()
        except IndexError:  # the first call, or all are at work for other threads
            request = compiled.create_infer_request()
        descriptors = np.array(request.infer([resized], share_inputs=True, share_outputs=True)[0])
        idle.append(request)
        return descriptors

    def _start_anew(self, workers: int) -> None:
        with self._lock:
            if workers != self._workers:
                self._workers, self._compiled, self._idle = workers, {}, {}

    def _compiled_for(self, shape: tuple[int, ...]) -> tuple[Any, deque[Any]]:
        """The network compiled for a shape, else for any, with its requests that wait for work."""
        with self._lock:
            key = shape if shape in self._compiled or len(self._compiled) < _FIXED_SHAPES else None
            if key not in self._compiled:
                model = self._model
                if key is not None:
                    model = model.clone()
                    model.reshape({INPUT: list(key)})
                self._compiled[key] = self._core.compile_model(model, "CPU", self._options())
                self._idle[key] = deque()
            return self._compiled[key], self._idle[key]

    def _options(self) -> dict[str, Any]:
        return {
            "INFERENCE_PRECISION_HINT": "f32" if self.precision == "float32" else "bf16",
            "INFERENCE_NUM_THREADS": allowed_threads(),
            "NUM_STREAMS": self._workers,
        }


def read_model(path: Path) -> tuple[Any, Any]:
    """OpenVINO's core and the network in an ONNX file, not compiled yet; raises as `OpenVinoEngine`."""
    # It reports each import to its makers' statistics, from a process of its own, unless this is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
        from openvino.frontend import FrontEndManager
    except ImportError as error:
        raise NetvladError(f"{path} needs OpenVINO, which is not installed: pip install openvino") from error
    frontend = FrontEndManager().load_by_framework("onnx")
    try:
        model = frontend.convert(frontend.load(path))
    except Exception as error:  # OpenVINO's own failure is a plain Exception
        reason = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"OpenVINO cannot open {path}: {reason}") from error
    # The first array that OpenVINO takes sets up its binding to NumPy. Two threads that do so at once may
    # wait for each other for good: one holds the GIL, the other the lock of the set-up.
    openvino.Tensor(np.zeros(1, np.float32), shared_memory=True).data.copy()
    return openvino.Core(), model


def _possible_precisions(core: Any, stored: str) -> list[str]:
    """Precisions in which this CPU runs a file, the fastest first."""
    if stored == "int8":
        return ["int8"]
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bfloat16", "float32"] if has_bfloat16 else ["float32"]
