"""The NetVLAD layer (Arandjelovic et al., CVPR 2016, section 3) and its two initialisations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import SourceError

# Geometric mean, after initialisation, of the second soft assignment in units of the first.
_SECOND_TO_FIRST = 0.01
_SHORTEST = 1e-12  # length of a local descriptor that can be normalised


class NetVLAD(nn.Module):
    """Soft-assigned residuals of local descriptors to K centroids, summed over the image (equation 4).

    Parameters
    ----------
    clusters : K.
    channels : D, channels of the feature map.
    with_bias : False for the assignment of the paper's experiments (v1), True for its equation 2 (v2).
    intra_normalization : L2-normalise the residuals of each cluster before the whole (Arandjelovic and
        Zisserman, CVPR 2013).

    Notes
    -----
    sum_n a_kn (x_n - c_k) equals A X^T - diag(sum_n A) C, so no tensor of B x K x D x N is built.
    """

    def __init__(
        self, clusters: int, channels: int, with_bias: bool = False, intra_normalization: bool = True
    ) -> None:
        super().__init__()
        self.clusters = clusters
        self.channels = channels
        self.intra_normalization = intra_normalization
        self.assignment = nn.Conv2d(channels, clusters, 1, bias=with_bias)
        self.centroids = nn.Parameter(torch.rand(clusters, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps (B, D, H, W), not normalised -> (B, K * D), L2-normalised, cluster by cluster."""
        # A product with the reciprocal is `normalize` at less cost, above all backwards.
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        x = features * lengths.clamp_min(_SHORTEST).reciprocal()
        weights = self.assignment(x).flatten(2).softmax(dim=1)
        x = x.flatten(2)
        vlad = weights @ x.transpose(1, 2) - weights.sum(dim=2).unsqueeze(2) * self.centroids
        if self.intra_normalization:
            vlad = functional.normalize(vlad, dim=2)
        return functional.normalize(vlad.flatten(1), dim=1)

    @torch.no_grad()
    def initialize(self, centroids: Tensor, samples: Tensor) -> float:
        """Set centroids and assignment from clustered local descriptors; returns the sharpness alpha.

        With alpha the geometric-mean ratio of the first to the second assignment of the samples is 100, with
        products to the normalised centroids (v1) or squared distances (v2). Raises SourceError if no centroid
        is nearer to the samples than another.

        Parameters
        ----------
        centroids : (K, D) float, from k-means over L2-normalised local descriptors.
        samples : (N, D) float, L2-normalised local descriptors.
        """
        directions = functional.normalize(centroids, dim=1)
        if self.assignment.bias is None:
            scores = samples @ directions.T
        else:
            scores = -(torch.cdist(samples, centroids) ** 2)
        best = scores.topk(2, dim=1).values
        lead = float((best[:, 0] - best[:, 1]).mean())
        if not lead > 0:
            raise SourceError("the local descriptors are all alike, so there are no clusters: blank images?")
        alpha = -math.log(_SECOND_TO_FIRST) / lead
        self.centroids.copy_(centroids)
        if self.assignment.bias is None:
            self.assignment.weight.copy_((alpha * directions)[:, :, None, None])
        else:
            self.assignment.weight.copy_((2 * alpha * centroids)[:, :, None, None])
            self.assignment.bias.copy_(-alpha * (centroids**2).sum(dim=1))
        return alpha
