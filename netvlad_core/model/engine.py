"""What runs a network: the seam between the `Extractor` and OpenVINO, ONNX Runtime or torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from netvlad_core.model.spec import NetworkSpec


class Engine:
    """Base of what runs a network.

    Attributes
    ----------
    model_id : fingerprint of the network in float32, whichever the precision.
    spec : description of the network.
    device : name of the device, for display.
    precision : one of PRECISIONS.
    """

    model_id: str
    spec: NetworkSpec
    device: str
    precision: str

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Resize, normalise, run: images (H, W, 3) uint8 RGB of one size -> (B, D) float32."""
        raise NotImplementedError

    def serving(self, workers: int) -> AbstractContextManager[Callable[[], None]]:
        """Share the threads among `workers` callers for a while; each must run what this yields, once.

        An engine whose calls share one set of threads does nothing.
        """
        return nullcontext(lambda: None)


def allowed_threads() -> int:
    """Threads that this process may use: OMP_NUM_THREADS, as torch takes it, else the cores it may run on."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if text.isdigit() and int(text):
        return int(text)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
