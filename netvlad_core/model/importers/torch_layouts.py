"""The PyTorch projects' checkpoints in one table: the same network under different names.

All of them number the layers of a torchvision backbone, cut before its last ReLU and pooling (VGG16, AlexNet)
or behind its third stage (ResNet), and flatten the descriptor cluster by cluster, as this project does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from netvlad_core.model.backbones import IMAGENET_MEAN, IMAGENET_STD, backbone_named
from netvlad_core.model.importers.parts import Parts
from netvlad_core.model.preprocessing import Preprocessing

# Backbones that those projects use.
_BACKBONES = ("vgg16", "alexnet", "resnet18", "resnet50")
_KEEP = Preprocessing("keep", (), IMAGENET_MEAN, IMAGENET_STD)
_EXACT_480 = replace(_KEEP, resize="exact", size=(480, 640))
_EXACT_480_UNSCALED = replace(_EXACT_480, mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))
# The benchmark resizes after its normalisation, in floating point.
_UNROUNDED = replace(_EXACT_480, filter="antialias-unrounded")
_VG = "the deep-VG benchmark"


@dataclass(frozen=True)
class TorchLayout:
    """Where a project keeps the parts of its network; all prefixes end with a dot.

    Attributes
    ----------
    name : name of the project.
    backbone, layer, whitening : prefixes of their tensors; no whitening: empty.
    preprocessing : resizing and normalisation of the project; no file records it.
    beside : what this project alone writes beside the tensors, if its names are those of another one, too.
    """

    name: str
    backbone: str
    layer: str
    whitening: str
    preprocessing: Preprocessing
    beside: str = ""

    def matches(self, state: Mapping[str, Tensor]) -> int:
        """How many tensors of the state lie under this layout's prefixes."""
        prefixes = tuple(filter(None, (self.backbone, self.layer, self.whitening)))
        return sum(key.startswith(prefixes) for key in state)

    def fits(self, state: Mapping[str, Tensor], content: Any) -> bool:
        """Whether all of its parts are there, in a file with this content."""
        wanted = [f"{self.layer}centroids", f"{self.layer}conv.weight"]
        wanted += [f"{self.whitening}weight"] if self.whitening else []
        return all(key in state for key in wanted) and (not self.beside or self.beside in content)

    def take(self, state: Mapping[str, Tensor]) -> Parts:
        """Find each tensor; what is missing is left out."""
        backbones = {name: _numbered(name, self.backbone) for name in _BACKBONES}
        backbone = max(backbones, key=lambda name: _agreement(backbones[name], state))
        names = {f"backbone.{key}": name for key, (name, _) in backbones[backbone].items()}
        names |= {
            "netvlad.centroids": f"{self.layer}centroids",
            "netvlad.assignment.weight": f"{self.layer}conv.weight",
            "netvlad.assignment.bias": f"{self.layer}conv.bias",
        }
        if self.whitening:
            names["whitening.projection.weight"] = f"{self.whitening}weight"
            names["whitening.projection.bias"] = f"{self.whitening}bias"
        tensors = {key: state[name] for key, name in names.items() if name in state}
        projection = tensors.get("whitening.projection.weight")
        if projection is not None and projection.shape[2:] == (1, 1):  # a convolution in most of them
            tensors["whitening.projection.weight"] = projection[:, :, 0, 0]
        unused = sorted(key for key in state.keys() - names.values() if key.startswith(self.backbone))
        return Parts(backbone, self.preprocessing, tensors, names, tuple(unused))


LAYOUTS = (
    TorchLayout("Patch-NetVLAD", "encoder.", "pool.", "WPCA.0.", _EXACT_480),
    TorchLayout("Patch-NetVLAD, without WPCA", "encoder.", "pool.", "", _EXACT_480, beside="not_improved"),
    TorchLayout("Nanne/pytorch-NetVlad", "encoder.", "pool.", "", _KEEP),
    TorchLayout("OpenIBL", "base_model.base.", "net_vlad.", "pca_layer.", _EXACT_480_UNSCALED),
    TorchLayout(f"{_VG}, with a linear layer", "backbone.", "aggregation.0.", "aggregation.1.", _UNROUNDED),
    TorchLayout(_VG, "backbone.", "aggregation.", "", _UNROUNDED),
)


def _numbered(name: str, prefix: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in the file and shape of each tensor of a backbone whose children are numbered."""
    with torch.device("meta"):
        module = backbone_named(name).build()
    numbers = {child: str(number) for number, (child, _) in enumerate(module.named_children())}
    numbered = {}
    for key, tensor in module.state_dict().items():
        child, _, rest = key.partition(".")
        numbered[key] = (f"{prefix}{numbers[child]}.{rest}", tuple(tensor.shape))
    return numbered


def _agreement(wanted: Mapping[str, tuple[str, tuple[int, ...]]], state: Mapping[str, Tensor]) -> float:
    """Share of the wanted tensors that the state has in their shape."""
    found = sum(name in state and tuple(state[name].shape) == shape for name, shape in wanted.values())
    return found / len(wanted)
