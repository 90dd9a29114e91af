"""The whole network, image to descriptor."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import backbone_named
from netvlad_core.model.netvlad import NetVLAD
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.whitening import Whitening


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
