"""Generalised mean of an image's local descriptors.

Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2019, equation
3; of normalised local descriptors, as Berton, Masone and Caputo use it, CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST = 1e-6  # powers and roots of negative numbers are none
_POWER = 3.0  # of the paper, before any training


class GeM(nn.Module):
    """Feature maps (B, D, h, w) -> (B, D): the p-th root of the mean of p-th powers, p being learned."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), _POWER))

    def forward(self, features: Tensor) -> Tensor:
        x = functional.normalize(features, dim=1).clamp_min(_SMALLEST)
        return x.pow(self.p).mean(dim=(2, 3)).pow(1 / self.p)
