"""From images on the host to descriptors on the host by way of a GPU, waiting once, at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

_log = logging.getLogger(__name__)

# Shapes whose kernels are kept as one graph, in each thread: of a camera and of its last batch.
_MOST_GRAPHS = 2
_WARM_UPS = 3  # cuDNN chooses its kernels in the first runs, which a graph must not hold
# Largest difference of an entry between a graph and the run that it was taken from.
_TOLERANCE = 1e-3

Shape = tuple[int, ...]


class GpuPath:
    """Runs a function of images on a GPU; several threads may call at once, each has a stream of its own.

    Images are put together in pinned memory, and copied to and fro without waiting. A graph launches all
    kernels at once, hundreds for a small network, whose launches would take longer than they do. It is used
    if it gives what the function gives.

    Parameters
    ----------
    run : images (B, H, W, 3) uint8 on the device -> (B, D) float32 there.
    has_graphs : whether a shape that comes again may run as a graph: nothing that `run` reads may move.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], device: torch.device, has_graphs: bool) -> None:
        self._run, self._device, self._has_graphs = run, device, has_graphs
        self._own = threading.local()
        self._capturing = threading.Lock()

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays (H, W, 3) uint8 of one size -> (B, D) float32."""
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)
            self._own.last, self._own.graphs = None, {}
        stream = self._own.stream
        with torch.cuda.device(self._device), torch.cuda.stream(stream):
            pinned = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=True)
            np.stack(images, out=pinned.numpy())
            graph = self._graph_of(tuple(pinned.shape))
            if graph is None:
                found = self._run(pinned.to(self._device, non_blocking=True))
            else:
                replay, inputs, found = graph
                inputs.copy_(pinned, non_blocking=True)
                replay()
            descriptors = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
            descriptors.copy_(found, non_blocking=True)
            stream.synchronize()
        return descriptors.numpy().copy()  # pinned memory is scarce

    def _graph_of(self, shape: Shape) -> tuple[Callable[[], None], Tensor, Tensor] | None:
        """How to run a graph, its input and its output; None for a shape that has none, or has none yet."""
        graphs, last, self._own.last = self._own.graphs, self._own.last, shape
        if self._has_graphs and shape not in graphs and shape == last and len(graphs) < _MOST_GRAPHS:
            try:
                graphs[shape] = self._capture(shape)
            except RuntimeError as error:
                graphs[shape] = None
                _log.warning(
                    "no CUDA graph for images of the shape %s: %s", shape, str(error).splitlines()[0]
                )
        return graphs.get(shape)

    def _capture(self, shape: Shape) -> tuple[Callable[[], None], Tensor, Tensor]:
        inputs = torch.randint(256, shape, dtype=torch.uint8, device=self._device)
        for _ in range(_WARM_UPS):
            expected = self._run(inputs)
        graph = torch.cuda.CUDAGraph()
        with (
            self._capturing,
            torch.cuda.graph(graph, stream=self._own.stream, capture_error_mode="thread_local"),
        ):
            found = self._run(inputs)
        graph.replay()
        difference = float((found - expected).abs().max())
        if not difference <= _TOLERANCE:
            raise RuntimeError(f"it differs from the network by {difference:.1e}")
        return graph.replay, inputs, found
