"""The whole network, image to descriptor, and its PCA whitening, which is fitted on the images of a drive."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import CheckpointError, NetvladError, SourceError
from netvlad_core.model.aggregations import aggregation_named
from netvlad_core.model.backbones import backbone_named
from netvlad_core.model.spec import NetworkSpec

if TYPE_CHECKING:
    from netvlad_core.model.netvlad import NetVLAD

_EPSILON = 1e-9  # added to variances


# Feature maps (B, D, h, w), or with tokens of the whole images (B, D).
Features = Tensor | tuple[Tensor, Tensor]


class PlaceNetwork(nn.Module):
    """Backbone, aggregation, optional whitening: preprocessed images (B, 3, H, W) -> descriptors (B, D).

    The aggregation's attribute has its name in the table. Raises CheckpointError if the backbone does not
    give what the aggregation takes.
    """

    netvlad: NetVLAD  # if it is this one

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        backbone, aggregation = backbone_named(spec.backbone), aggregation_named(spec.aggregation)
        if aggregation.takes_token != backbone.has_token:
            wanted = "one" if aggregation.takes_token else "none"
            raise CheckpointError(
                f"{spec.aggregation} wants a backbone with {wanted} of the tokens for whole images, and "
                f"{spec.backbone} has {'one' if backbone.has_token else 'none'}"
            )
        aggregated = spec.aggregated_dimension  # raises where a setting is missing
        if aggregation.has_fixed_size:
            _check_size(spec)
        self.backbone = backbone.build()
        self.add_module(spec.aggregation, aggregation.build(backbone.channels, spec.options))
        self.whitening: nn.Module = nn.Identity()
        self._normalizes = not (spec.whitened_dimension or aggregation.gives_unit_length)
        if spec.whitened_dimension:
            self.whitening = Whitening(aggregated, spec.whitened_dimension)

    @property
    def aggregation(self) -> nn.Module:
        """The module between backbone and whitening."""
        return self.get_submodule(self.spec.aggregation)

    def forward(self, images: Tensor) -> Tensor:
        return self.aggregate(self.backbone(images))

    def aggregate(self, features: Features) -> Tensor:
        """Descriptors of the backbone's output, in any precision: all that comes after the backbone."""
        kind = next((weight.dtype for weight in self.aggregation.parameters()), torch.float32)
        single = features.to(kind) if isinstance(features, Tensor) else tuple(f.to(kind) for f in features)
        aggregated = self.aggregation(single)
        if self._normalizes:
            return functional.normalize(aggregated, dim=1)
        return self.whitening(aggregated)

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
        cropped.backbone = self.backbone
        setattr(cropped, self.spec.aggregation, self.aggregation)
        first = {name: t[:dimension].clone() for name, t in self.whitening.state_dict().items()}
        cropped.whitening.load_state_dict(first, assign=True)
        return cropped.train(self.training)

    def fingerprint(self) -> str:
        """model_id: the name and a short hash over description and weights, by which descriptors compare."""
        digest = hashlib.sha256(self.spec.identity().encode())
        for key, tensor in sorted(self.state_dict().items()):
            if key.endswith("num_batches_tracked"):  # bookkeeping of training, no part of the function
                continue
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.spec.name}@{digest.hexdigest()[:12]}"


def _check_size(spec: NetworkSpec) -> None:
    """Raise CheckpointError unless images give as many cells as the aggregation has weights for."""
    cells, found = spec.options["cells"], None
    if spec.preprocessing.resize == "exact":
        with torch.device("meta"), torch.inference_mode():  # shapes only
            features = (
                backbone_named(spec.backbone).build().eval()(torch.empty(1, 3, *spec.preprocessing.size))
            )
        found = features.shape[2] * features.shape[3]
    if found != cells:
        raise CheckpointError(
            f"{spec.aggregation} has weights for {cells} cells, and images of {spec.preprocessing} have "
            f"{found or 'any number of them'}"
        )


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
