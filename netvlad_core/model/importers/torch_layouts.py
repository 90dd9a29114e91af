"""The PyTorch projects' checkpoints in one table: the same network under different names.

Most of them number the layers of a torchvision backbone, cut before its last ReLU and pooling (VGG16,
AlexNet) or behind its third or last stage (ResNet); DINOv2 has its published names. NetVLAD's descriptor is
flattened cluster by cluster, as this project does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from netvlad_core.model.backbones import DINOV2, IMAGENET_MEAN, IMAGENET_STD, backbone_named
from netvlad_core.model.importers.layers import LAYERS
from netvlad_core.model.importers.parts import Parts
from netvlad_core.model.preprocessing import Preprocessing

# Backbones that those projects number.
_NUMBERED = (
    *("vgg16", "alexnet", "resnet18", "resnet50"),
    *(f"resnet{layers}_layer4" for layers in (18, 50, 101, 152)),
)
_RESNETS = tuple(name for name in _NUMBERED if name.startswith("resnet"))
_DINO_TOKEN, _DINO_RAW = (tuple(f"{size}_{kind}" for size in DINOV2) for kind in ("token", "raw"))
# Tensors of DINOv2 that a network cut out of it does not use.
_UNUSED = ("mask_token", "norm.weight", "norm.bias")
_KEEP = Preprocessing("keep", (), IMAGENET_MEAN, IMAGENET_STD)
_EXACT_480 = replace(_KEEP, resize="exact", size=(480, 640))
_EXACT_480_UNSCALED = replace(_EXACT_480, mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))
# The benchmark resizes after its normalisation, in floating point.
_UNROUNDED = replace(_EXACT_480, filter="antialias-unrounded")
# So does MegaLoc.
_MULTIPLE_14 = replace(_KEEP, resize="multiple", size=(14,), filter="antialias-unrounded")
_EXACT_322 = replace(_KEEP, resize="exact", size=(322, 322))
_BICUBIC_322 = replace(_EXACT_322, filter="bicubic")
_BICUBIC_384 = replace(_BICUBIC_322, size=(384, 384))
_EXACT_320 = replace(_EXACT_322, size=(320, 320))
_NO_LICENCE = "none stated"
_VG = "the deep-VG benchmark"


@dataclass(frozen=True)
class TorchLayout:
    """Where a project keeps the parts of its network; all prefixes end with a dot.

    Attributes
    ----------
    name : name of the project.
    backbone, layer, whitening : prefixes of their tensors; no whitening: empty.
    preprocessing : resizing and normalisation of the project; no file records it.
    licence : of the published weights, as the project states it.
    beside : what this project alone writes beside the tensors, if its names are those of another one, too.
    aggregation : key of the table of aggregations.
    backbones : keys of the table of backbones.
    is_numbered : whether the layers of ResNet and the like have numbers instead of torchvision's names.
    """

    name: str
    backbone: str
    layer: str
    whitening: str
    preprocessing: Preprocessing
    licence: str = "MIT"
    beside: str = ""
    aggregation: str = "netvlad"
    backbones: tuple[str, ...] = _NUMBERED
    is_numbered: bool = True

    def matches(self, state: Mapping[str, Tensor]) -> int:
        """How many tensors of the state lie under this layout's prefixes."""
        prefixes = tuple(filter(None, (self.backbone, self.layer, self.whitening)))
        return sum(key.startswith(prefixes) for key in state)

    def fits(self, state: Mapping[str, Tensor], content: Any) -> bool:
        """Whether all of its parts are there, in a file with this content."""
        layer = LAYERS[self.aggregation]
        wanted = {self.layer + name for name in layer.names(set()).values() if name not in layer.optional}
        wanted |= {self.layer + layer.mark}
        wanted |= {f"{self.whitening}weight"} if self.whitening else set()
        has_backbone = any(key.startswith(self.backbone) for key in state)
        return has_backbone and wanted <= state.keys() and (not self.beside or self.beside in content)

    def take(self, state: Mapping[str, Tensor]) -> Parts:
        """Find each tensor; what is missing is left out."""
        backbones = {name: self._names_in_file(name) for name in self.backbones}
        in_file = {key: tensor for key, tensor in state.items() if key.startswith(self.backbone)}
        backbone = max(backbones, key=lambda name: _agreement(backbones[name], in_file))
        names = {f"backbone.{key}": name for key, (name, _) in backbones[backbone].items()}
        layer = LAYERS[self.aggregation]
        found = {key.removeprefix(self.layer) for key in state if key.startswith(self.layer)}
        of_layer = {ours: self.layer + theirs for ours, theirs in layer.names(found).items()}
        names |= {f"{self.aggregation}.{ours}": name for ours, name in of_layer.items()}
        if self.whitening:
            names["whitening.projection.weight"] = f"{self.whitening}weight"
            names["whitening.projection.bias"] = f"{self.whitening}bias"
        tensors = {key: state[name] for key, name in names.items() if name in state}
        projection = tensors.get("whitening.projection.weight")
        if projection is not None and projection.shape[2:] == (1, 1):  # a convolution in most of them
            tensors["whitening.projection.weight"] = projection[:, :, 0, 0]
        known = {*names.values(), *(self.backbone + name for name in _UNUSED if backbone not in _NUMBERED)}
        unused = sorted(key for key in state.keys() - known if key.startswith(self.backbone))
        options = layer.options({ours: state[name] for ours, name in of_layer.items() if name in state})
        options["aggregation"] = self.aggregation
        return Parts(backbone, self.preprocessing, tensors, names, tuple(unused), options)

    def _names_in_file(self, name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name in the file and shape of each tensor of a backbone."""
        with torch.device("meta"):
            module = backbone_named(name).build()
        numbers = {child: str(number) for number, (child, _) in enumerate(module.named_children())}
        names = {}
        for key, tensor in module.state_dict().items():
            child, _, rest = key.partition(".")
            in_file = f"{numbers[child]}.{rest}" if self.is_numbered and name in _NUMBERED else key
            names[key] = (self.backbone + in_file, tuple(tensor.shape))
        return names


LAYOUTS = (
    TorchLayout("Patch-NetVLAD", "encoder.", "pool.", "WPCA.0.", _EXACT_480),
    TorchLayout("Patch-NetVLAD, without WPCA", "encoder.", "pool.", "", _EXACT_480, beside="not_improved"),
    TorchLayout("Nanne/pytorch-NetVlad", "encoder.", "pool.", "", _KEEP, _NO_LICENCE),
    TorchLayout("OpenIBL", "base_model.base.", "net_vlad.", "pca_layer.", _EXACT_480_UNSCALED),
    TorchLayout(
        "CosPlace or EigenPlaces", "backbone.", "aggregation.1.", "aggregation.3.", _KEEP, aggregation="gem"
    ),
    TorchLayout(f"{_VG}, GeM", "backbone.", "aggregation.1.", "", _UNROUNDED, aggregation="gem"),
    TorchLayout(f"{_VG}, with a linear layer", "backbone.", "aggregation.0.", "aggregation.1.", _UNROUNDED),
    TorchLayout(_VG, "backbone.", "aggregation.", "", _UNROUNDED),
    TorchLayout(
        "SALAD or CliqueMining",
        "backbone.model.",
        "aggregator.",
        "",
        _EXACT_322,
        "GPL-3.0",
        aggregation="salad",
        backbones=_DINO_TOKEN,
    ),
    TorchLayout(
        "MixVPR",
        "backbone.model.",
        "aggregator.",
        "",
        _EXACT_320,
        _NO_LICENCE,
        aggregation="mixvpr",
        backbones=_RESNETS,
        is_numbered=False,
    ),
    TorchLayout(
        "MegaLoc",
        "backbone.",
        "aggregator.agg.",
        "aggregator.linear.",
        _MULTIPLE_14,
        aggregation="salad",
        backbones=_DINO_TOKEN,
    ),
    TorchLayout(
        "BoQ, DINOv2",
        "backbone.dino.",
        "aggregator.",
        "",
        _BICUBIC_322,
        aggregation="boq",
        backbones=_DINO_RAW,
    ),
    TorchLayout("BoQ, ResNet", "backbone.net.", "aggregator.", "", _BICUBIC_384, aggregation="boq"),
)


def _agreement(wanted: Mapping[str, tuple[str, tuple[int, ...]]], in_file: Mapping[str, Tensor]) -> float:
    """Share of the tensors, of those wanted and those in the file, that are in both in one shape."""
    found = sum(name in in_file and tuple(in_file[name].shape) == shape for name, shape in wanted.values())
    return found / (len(wanted) + len(in_file) - found)
