"""The description of a network; needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from netvlad_core.errors import CheckpointError
from netvlad_core.model.aggregations import aggregation_named
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.preprocessing import Preprocessing

# Precisions of the backbone, which does nearly all of the work; aggregation and whitening are in float32.
TORCH_PRECISIONS = ("float32", "bfloat16", "float16")
ONNX_PRECISIONS = ("float32", "float16", "int8")  # ONNX Runtime has no bfloat16 convolution
PRECISIONS = (*TORCH_PRECISIONS, "int8")

# Backbone of a network that only its ONNX file knows; its aggregation is the network's own name.
FOREIGN = "onnx"

# Not in the text of a network with NetVLAD, so that it keeps the name that it had before.
_LATER = ("aggregation", "settings")
_OF_NETVLAD = ("assignment_bias", "intra_normalization")
_LARGEST_SETTING = 2**16
_LONGEST_ORIGIN = 200


@dataclass(frozen=True)
class NetworkSpec:
    """Everything about a network but its weights.

    Attributes
    ----------
    backbone : key of the backbone table.
    preprocessing : resizing and normalisation of images.
    clusters : K of an aggregation by clusters.
    assignment_bias, intra_normalization : see `NetVLAD`.
    whitened_dimension : output of the PCA whitening, or None without whitening.
    aggregation : key of the table of aggregations.
    settings : what else the aggregation's constructor takes, SALAD's and BoQ's for two: whole numbers.
    origin : project and licence of imported weights, for display; no part of what the network computes.
    """

    backbone: str
    preprocessing: Preprocessing
    clusters: int = 64
    assignment_bias: bool = False
    intra_normalization: bool = True
    whitened_dimension: int | None = None
    aggregation: str = "netvlad"
    settings: Mapping[str, int] = field(default_factory=dict)
    origin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            if type(value) is not int or not 0 < value <= _LARGEST_SETTING:
                raise CheckpointError(f"the setting {name} of {self.aggregation} is {value!r}")
        if not isinstance(self.origin, str) or len(self.origin) > _LONGEST_ORIGIN:
            raise CheckpointError(f"the origin of the weights is no short text: {str(self.origin)[:40]!r}")

    @classmethod
    def of_backbone(cls, name: str = DEFAULT_BACKBONE, **options: Any) -> NetworkSpec:
        """The description with the backbone's own preprocessing; options are the other fields."""
        return cls(name, backbone_named(name).preprocessing, **options)

    @property
    def aggregated_dimension(self) -> int:
        """Entries of what the aggregation gives."""
        try:
            if self.backbone == FOREIGN:
                return self.settings["dimension"]
            channels = backbone_named(self.backbone).channels
            return aggregation_named(self.aggregation).dimension(channels, self.options)
        except KeyError as error:
            raise CheckpointError(f"the description has no setting {error} of {self.aggregation}") from error

    @property
    def options(self) -> dict[str, int]:
        """What the aggregation's table takes."""
        return {name: getattr(self, name) for name in ("clusters", *_OF_NETVLAD)} | dict(self.settings)

    @property
    def dimension(self) -> int:
        """Entries of a descriptor."""
        return self.whitened_dimension or self.aggregated_dimension

    @property
    def name(self) -> str:
        """Readable name, the first half of a model_id."""
        if self.backbone == FOREIGN:
            return self.aggregation
        clusters = self.clusters if aggregation_named(self.aggregation).has_clusters else ""
        whitened = f"-white{self.whitened_dimension}" if self.whitened_dimension else ""
        return f"{self.backbone}-{self.aggregation}{clusters}{whitened}"

    def to_json(self) -> str:
        return json.dumps(self.stated(), sort_keys=True)

    def identity(self) -> str:
        """The text that tells networks apart: all but their origin."""
        return replace(self, origin="").to_json()

    def stated(self) -> dict[str, Any]:
        """The fields that have a meaning for this aggregation."""
        if self.backbone == FOREIGN or not aggregation_named(self.aggregation).has_clusters:
            unused: tuple[str, ...] = ("clusters", *_OF_NETVLAD)
        else:
            unused = _LATER if self.aggregation == "netvlad" else _OF_NETVLAD
        if not self.origin:
            unused = (*unused, "origin")
        return {name: value for name, value in asdict(self).items() if name not in unused}

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
