"""PCA whitening of descriptors, fitted on the images of a drive."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import SourceError

_EPSILON = 1e-9


class Whitening(nn.Module):
    """Affine projection followed by L2 normalisation: (B, D) -> (B, P).

    Components are in the order of their variance, so that a whitened descriptor may be cropped.
    """

    def __init__(self, dimension: int, whitened_dimension: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dimension, whitened_dimension)

    def forward(self, descriptors: Tensor) -> Tensor:
        return functional.normalize(self.projection(descriptors), dim=1)

    @classmethod
    @torch.no_grad()
    def fit(cls, descriptors: Tensor, whitened_dimension: int, shrinkage: float = 0.0) -> Whitening:
        """Fit on a sample of descriptors; raises SourceError if they are too few for the wanted dimension.

        Parameters
        ----------
        descriptors : (N, D) float.
        whitened_dimension : P <= min(N - 1, D).
        shrinkage : share of the mean variance in each component's variance, 0 to 1. 0 is the paper's
            whitening, which over-fits when N is a few hundred.
        """
        count, dimension = descriptors.shape
        if whitened_dimension > min(count - 1, dimension):
            raise SourceError(
                f"whitening to {whitened_dimension} dimensions needs more than that many images and at "
                f"most the descriptor's {dimension} dimensions; there are {count} images"
            )
        mean = descriptors.mean(dim=0)
        _, singular, components = torch.linalg.svd(descriptors - mean, full_matrices=False)
        variance = singular**2 / (count - 1)
        shrunk = (1 - shrinkage) * variance + shrinkage * variance.mean()
        scale = 1 / torch.sqrt(shrunk[:whitened_dimension] + _EPSILON)
        whitening = cls(dimension, whitened_dimension).to(descriptors)
        whitening.projection.weight.copy_(components[:whitened_dimension] * scale[:, None])
        whitening.projection.bias.copy_(-(whitening.projection.weight @ mean))
        return whitening
