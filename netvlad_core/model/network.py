"""The whole network, image to descriptor, and its PCA whitening, which is fitted on the images of a drive."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import NetvladError, SourceError
from netvlad_core.model.backbones import backbone_named
from netvlad_core.model.netvlad import NetVLAD
from netvlad_core.model.spec import NetworkSpec

_EPSILON = 1e-9  # added to variances


class PlaceNetwork(nn.Module):
    """Backbone, NetVLAD, optional whitening: preprocessed images (B, 3, H, W) -> descriptors (B, D)."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        backbone = backbone_named(spec.backbone)
        self.backbone = backbone.build()
        layer = spec.clusters, backbone.channels, spec.assignment_bias, spec.intra_normalization
        self.netvlad = NetVLAD(*layer)
        self.whitening: nn.Module = nn.Identity()
        if spec.whitened_dimension:
            self.whitening = Whitening(spec.vlad_dimension, spec.whitened_dimension)

    def forward(self, images: Tensor) -> Tensor:
        return self.aggregate(self.backbone(images))

    def aggregate(self, features: Tensor) -> Tensor:
        """Descriptors of feature maps (B, D, h, w): all that comes after the backbone."""
        return self.whitening(self.netvlad(features))

    def crop(self, dimension: int) -> PlaceNetwork:
        """The network with the first `dimension` entries of its whitened descriptor; the rest is shared.

        Raises NetvladError if the descriptor is shorter, or not whitened: then no entry matters more.
        """
        if not isinstance(self.whitening, Whitening):
            raise NetvladError(f"the descriptor of {self.spec.name} is not whitened, so it cannot be cropped")
        if not 0 < dimension <= self.spec.dimension:
            raise NetvladError(
                f"a descriptor whitened to {self.spec.dimension} dimensions has no first {dimension}"
            )
        with torch.device("meta"):
            cropped = PlaceNetwork(replace(self.spec, whitened_dimension=dimension))
        cropped.backbone, cropped.netvlad = self.backbone, self.netvlad
        first = {name: t[:dimension].clone() for name, t in self.whitening.state_dict().items()}
        cropped.whitening.load_state_dict(first, assign=True)
        return cropped.train(self.training)

    def fingerprint(self) -> str:
        """model_id: the name and a short hash over description and weights, by which descriptors compare."""
        digest = hashlib.sha256(self.spec.to_json().encode())
        for key, tensor in sorted(self.state_dict().items()):
            if key.endswith("num_batches_tracked"):  # bookkeeping of training, no part of the function
                continue
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.spec.name}@{digest.hexdigest()[:12]}"


class Whitening(nn.Module):
    """Affine projection followed by L2 normalisation: (B, D) -> (B, P).

    Components are in the order of their variance, so that a whitened descriptor may be cropped.
    """

    def __init__(self, dimension: int, whitened_dimension: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dimension, whitened_dimension)

    def forward(self, descriptors: Tensor) -> Tensor:
        projected = self.projection(descriptors.to(self.projection.weight.dtype))
        return functional.normalize(projected.to(descriptors.dtype), dim=1)

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
