"""VLAD with hard assignment: residuals to the nearest centroid only, nothing learned but the centroids.

Jegou et al., "Aggregating local descriptors into a compact image representation", CVPR 2010, with normalised
local descriptors and intra-normalisation, as AnyLoc uses it (Keetha et al., RA-L 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class HardVLAD(nn.Module):
    """Feature maps (B, D, h, w) -> (B, K * D), L2-normalised, cluster by cluster.

    The nearest centroid is that of the largest cosine.
    """

    def __init__(self, clusters: int, channels: int) -> None:
        super().__init__()
        self.centroids = nn.Parameter(torch.rand(clusters, channels))

    def forward(self, features: Tensor) -> Tensor:
        x = functional.normalize(features, dim=1).flatten(2)
        cosines = functional.normalize(self.centroids, dim=1) @ x
        numbers = torch.arange(len(self.centroids), device=x.device)[:, None]
        is_nearest = (cosines.argmax(dim=1, keepdim=True) == numbers).to(x.dtype)
        vlad = is_nearest @ x.transpose(1, 2) - is_nearest.sum(dim=2, keepdim=True) * self.centroids
        return functional.normalize(functional.normalize(vlad, dim=2).flatten(1), dim=1)

    @torch.no_grad()
    def initialize(self, centroids: Tensor, samples: Tensor) -> None:
        """Set the centroids (K, D)."""
        self.centroids.copy_(centroids)
