"""What runs a network: the seam between the `Extractor` and OpenVINO, ONNX Runtime or torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from netvlad_core.errors import CheckpointError
from netvlad_core.model.spec import NetworkSpec

_LENGTH_TOLERANCE = 0.01  # of a descriptor: eight bits are enough for it


class Engine:
    """Base of what runs a network.

    Attributes
    ----------
    model_id : fingerprint of the network in float32, whichever the precision.
    spec : description of the network.
    device : name of the device, for display.
    precision : one of PRECISIONS.
    is_whole : whether a checksum has shown the weights to be those that were written.
    """

    model_id: str
    spec: NetworkSpec
    device: str
    precision: str
    is_whole: bool = True

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Resize, normalise, run: images (H, W, 3) uint8 RGB of one size -> (B, D) float32."""
        raise NotImplementedError

    def serving(self, workers: int) -> AbstractContextManager[Callable[[], None]]:
        """Share the threads among `workers` callers for a while; each must run what this yields, once.

        An engine whose calls share one set of threads does nothing.
        """
        return nullcontext(lambda: None)


def check_descriptors(found: np.ndarray, count: int, engine: Engine) -> None:
    """Raise CheckpointError unless these are `count` descriptors of unit length, as every network gives."""
    expected = (count, engine.spec.dimension)
    if found.shape != expected:
        fault = f"of the shape {found.shape}, expected {expected}"
    elif not np.isfinite(found).all():
        fault = "that are not finite"
    elif np.abs(np.linalg.norm(found, axis=1) - 1).max(initial=0) > _LENGTH_TOLERANCE:
        fault = "that are not of length 1"
    else:
        return
    raise CheckpointError(
        f"the network {engine.model_id} gives descriptors {fault}, on {engine.device} in {engine.precision}: "
        "its file is damaged, or the device computes wrongly; export or fit it again, or name another device "
        "or precision"
    )


def allowed_threads() -> int:
    """Threads that this process may use: OMP_NUM_THREADS, as torch takes it, else the cores it may run on."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if text.isdigit() and int(text):
        return int(text)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
