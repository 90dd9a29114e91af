"""Optimal transport of an image's local descriptors to clusters (SALAD).

Izquierdo and Civera, "Optimal transport aggregation for visual place recognition", CVPR 2024, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_HIDDEN = 512  # of each perceptron
_ITERATIONS = 3  # of Sinkhorn's algorithm


class SALAD(nn.Module):
    """Feature maps (B, D, h, w) and tokens of the images (B, D) -> (B, L * K + T), L2-normalised.

    Each of the n local descriptors is distributed over K clusters and a dustbin for what tells nothing. The
    clusters take as much as a descriptor each, the dustbin the rest, so n must be larger than K.

    Parameters
    ----------
    channels, clusters : D, K.
    cluster_dimension, token_dimension : L and T, entries of each cluster and of the token's part.
    """

    def __init__(self, channels: int, clusters: int, cluster_dimension: int, token_dimension: int) -> None:
        super().__init__()
        self.token = nn.Sequential(
            nn.Linear(channels, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, token_dimension)
        )
        self.local = _perceptron(channels, cluster_dimension)
        self.scores = _perceptron(channels, clusters)
        self.dustbin = nn.Parameter(torch.ones(()))

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        grid, token = features
        local, scores = self.local(grid).flatten(2), self.scores(grid).flatten(2)
        shares = self._transport(scores)[:, :-1]
        clusters = functional.normalize(local @ shares.transpose(1, 2), dim=1)
        whole = torch.cat([functional.normalize(self.token(token), dim=1), clusters.flatten(1)], dim=1)
        return functional.normalize(whole, dim=1)

    def _transport(self, scores: Tensor) -> Tensor:
        """Shares (B, K + 1, n) of each descriptor by scores (B, K, n); the dustbin's come last."""
        batch, clusters, count = scores.shape
        scores = torch.cat([scores, self.dustbin.expand(batch, 1, count)], dim=1)
        # Summed, since an exported network takes a number in Python for one of all sizes.
        of_dustbin = torch.ones_like(scores[0, :1]).sum(dim=1) - clusters
        to_row = torch.cat([scores.new_zeros(clusters), of_dustbin.log()])
        v = scores.new_zeros(batch, 1, count)
        for _ in range(_ITERATIONS):
            u = to_row[:, None] - (scores + v).logsumexp(dim=2, keepdim=True)
            v = -(scores + u).logsumexp(dim=1, keepdim=True)
        return (scores + u + v).exp()


def _perceptron(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, _HIDDEN, 1), nn.ReLU(), nn.Conv2d(_HIDDEN, outputs, 1))
