"""The description of a network; needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.preprocessing import Preprocessing

# Precisions of the backbone, which does nearly all of the work; NetVLAD and whitening are always float32.
TORCH_PRECISIONS = ("float32", "bfloat16", "float16")
ONNX_PRECISIONS = ("float32", "float16", "int8")  # ONNX Runtime has no bfloat16 convolution
PRECISIONS = (*TORCH_PRECISIONS, "int8")


@dataclass(frozen=True)
class NetworkSpec:
    """Everything about a network but its weights.

    Attributes
    ----------
    backbone : key of the backbone table.
    preprocessing : resizing and normalisation of images.
    clusters, assignment_bias, intra_normalization : see `NetVLAD`.
    whitened_dimension : output of the PCA whitening, or None without whitening.
    """

    backbone: str
    preprocessing: Preprocessing
    clusters: int = 64
    assignment_bias: bool = False
    intra_normalization: bool = True
    whitened_dimension: int | None = None

    @classmethod
    def of_backbone(cls, name: str = DEFAULT_BACKBONE, **options: Any) -> NetworkSpec:
        """The description with the backbone's own preprocessing; options are the other fields."""
        return cls(name, backbone_named(name).preprocessing, **options)

    @property
    def vlad_dimension(self) -> int:
        return self.clusters * backbone_named(self.backbone).channels

    @property
    def dimension(self) -> int:
        """Entries of a descriptor."""
        return self.whitened_dimension or self.vlad_dimension

    @property
    def name(self) -> str:
        """Readable name, the first half of a model_id."""
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
            for key in ("size", "mean", "std"):
                preprocessing[key] = tuple(preprocessing[key])
            return cls(preprocessing=Preprocessing(**preprocessing), **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"the description of the network is not readable: {error!r}") from error
