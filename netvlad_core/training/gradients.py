"""Gradients of a loss over many images, a few of which are in the network at a time.

The loss needs the descriptors of a whole step, but memory holds fewer images. So descriptors are computed,
without a graph; the loss gives a gradient for each; then the images go through the network again, a few at a
time, and each carries its gradient back (gradient caching; Gao et al., RepL4NLP 2021). That is exact because
no layer looks at other images of the batch: batch normalisation is frozen. Processes share the images,
compute the same loss and add their gradients up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_engine import preprocess, run_network
from netvlad_core.training.batches import Batch
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.processes import Processes

_Result = TypeVar("_Result")


@dataclass
class Gradients:
    """Computes the gradients of a step; when memory runs out, with fewer images at once, which it says."""

    network: PlaceNetwork
    parameters: Sequence[nn.Parameter]
    config: TrainingConfig
    processes: Processes
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._at_once = self.config.images_at_once or 2**31

    def compute(
        self, batch: Batch, images: Sequence[np.ndarray], scale: Callable[[Tensor], Tensor]
    ) -> tuple[float, int]:
        """Set the gradients of the parameters; returns the loss and its triplets or pairs over all processes.

        Parameters
        ----------
        images : uint8 RGB (H, W, 3), this process' share of the batch's rows.
        scale : function applied to the loss before it goes back, as float16 needs it.
        """
        network, device = self.network, self.processes.device
        # Cloned, since tensors of inference mode take no part in gradients.
        inputs = [preprocess([image], network.spec.preprocessing, device).clone() for image in images]
        own = self.processes.share(np.arange(len(batch.rows)))
        descriptors = torch.zeros(len(batch.rows), network.spec.dimension, device=device)
        parts = self._within_memory(lambda: self._describe(inputs), len(inputs))
        if parts:
            descriptors[own] = torch.cat(parts).detach()
        self.processes.sum(descriptors)
        descriptors.requires_grad_(True)
        loss, count = batch.loss(descriptors, self.config)
        scale(loss).backward()
        assert descriptors.grad is not None
        gradient = descriptors.grad[own]
        self._within_memory(lambda: self._backward(inputs, parts, gradient), len(inputs))
        self._add_up()
        return float(loss.detach()), count

    def _describe(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Descriptors in parts, with a graph if a single part holds them all."""
        parts = list(self._parts(inputs))
        with torch.set_grad_enabled(len(parts) == 1):
            return [run_network(self.network, part, self.config.precision) for _, part in parts]

    def _backward(self, inputs: Sequence[Tensor], described: list[Tensor], gradient: Tensor) -> None:
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        if len(described) == 1:
            described.pop().backward(gradient)  # gone at a second attempt
            return
        for start, part in self._parts(inputs):
            descriptors = run_network(self.network, part, self.config.precision)
            descriptors.backward(gradient[start : start + len(part)])

    def _parts(self, inputs: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """Neighbouring images of one size together, as many as may be at once."""
        start = 0
        for end in range(1, len(inputs) + 1):
            is_full = end - start == self._at_once
            if is_full or end == len(inputs) or inputs[end].shape != inputs[start].shape:
                yield start, torch.cat(list(inputs[start:end]))
                start = end

    def _within_memory(self, work: Callable[[], _Result], images: int) -> _Result:
        """Repeat work with half as many images until the memory suffices; other processes need not know."""
        while True:
            try:
                return work()
            except torch.cuda.OutOfMemoryError:
                if self._at_once == 1:
                    raise NetvladError(
                        f"the memory of {self.processes.device} is too small for one image at a time; train "
                        "fewer blocks, in bfloat16, or give the network smaller images"
                    ) from None
            # Outside of the handler, whose traceback keeps the tensors of the failed attempt alive.
            self._at_once = max(1, min(self._at_once, images) // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.say(f"out of memory: going on with {self._at_once} images at once, same gradients")

    def _add_up(self) -> None:
        if self.processes.count == 1:
            return
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        together = self.processes.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
