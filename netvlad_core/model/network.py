"""The whole network, image to descriptor, and the values that are enough to build it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import Preprocessing, backbone_named
from netvlad_core.model.netvlad import NetVLAD
from netvlad_core.model.whitening import Whitening


@dataclass(frozen=True)
class NetworkSpec:
    """Everything about a network but its weights.

    Attributes
    ----------
    backbone : key of the backbone table.
    preprocessing : of the images; part of the model, since a descriptor means nothing without it.
    clusters : K of the NetVLAD layer.
    assignment_bias : False for the paper's experiments (v1), True for its equation 2 (v2).
    intra_normalization : per cluster, before the last normalisation.
    whitened_dimension : output of the PCA whitening, or None without whitening.
    """

    backbone: str
    preprocessing: Preprocessing
    clusters: int = 64
    assignment_bias: bool = False
    intra_normalization: bool = True
    whitened_dimension: int | None = None

    @property
    def vlad_dimension(self) -> int:
        return self.clusters * backbone_named(self.backbone).channels

    @property
    def dimension(self) -> int:
        """Entries of a descriptor."""
        return self.whitened_dimension or self.vlad_dimension

    @property
    def name(self) -> str:
        """Name for people, the first half of a model_id."""
        whitened = f"-white{self.whitened_dimension}" if self.whitened_dimension else ""
        return f"{self.backbone}-netvlad{self.clusters}{whitened}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NetworkSpec:
        """Parse; raises CheckpointError if a field is missing or unknown."""
        try:
            values = json.loads(text)
            preprocessing = values.pop("preprocessing")
            for key in ("mean", "std"):
                preprocessing[key] = tuple(preprocessing[key])
            return cls(preprocessing=Preprocessing(**preprocessing), **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"the description of the network is not readable: {error!r}") from error


class PlaceNetwork(nn.Module):
    """Backbone, NetVLAD, optional whitening: preprocessed images (B, 3, H, W) -> descriptors (B, D)."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        backbone = backbone_named(spec.backbone)
        self.backbone = backbone.build()
        self.netvlad = NetVLAD(
            spec.clusters, backbone.channels, spec.assignment_bias, spec.intra_normalization
        )
        self.whitening: nn.Module = nn.Identity()
        if spec.whitened_dimension:
            self.whitening = Whitening(spec.vlad_dimension, spec.whitened_dimension)

    def forward(self, images: Tensor) -> Tensor:
        return self.whitening(self.netvlad(self.backbone(images)))

    def fingerprint(self) -> str:
        """model_id: the name and a short hash over description and weights.

        Two networks with one fingerprint compute the same descriptors; it is written in every map and
        message.
        """
        digest = hashlib.sha256(self.spec.to_json().encode())
        for key, tensor in sorted(self.state_dict().items()):
            if key.endswith("num_batches_tracked"):  # bookkeeping of training, no part of the function
                continue
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.spec.name}@{digest.hexdigest()[:12]}"
