"""The networks in front of the NetVLAD layer, in one table, which a machine without torch can read."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.errors import CheckpointError
from netvlad_core.files import user_path
from netvlad_core.model.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

DEFAULT_BACKBONE = "efficientnet_lite0"
# The network of this package: DEFAULT_BACKBONE with 64 clusters, in float16; see docs/model_card.md.
PACKAGED_NETWORK = Path(__file__).with_name("weights") / f"{DEFAULT_BACKBONE}_netvlad64.safetensors"

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def network_file(text: str) -> Path:
    """File of a network as a user names it: a path, or `packaged` for the network of this package."""
    return PACKAGED_NETWORK if text == "packaged" else user_path(text)


_operator_schemas: list[Any] = []  # of torchvision: they live as long as their objects


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes
    ----------
    channels, stride : D of the feature map (B, D, H / stride, W / stride), and pixels per cell.
    preprocessing : what the published ImageNet weights expect.
    build : function that makes the cut network with random weights.
    prefix : beginning of the names of its tensors in a checkpoint of the whole network.
    has_token : whether it gives a pair: the feature map, and a token for the whole image (B, D).
    """

    channels: int
    stride: int
    preprocessing: Preprocessing
    build: Callable[[], nn.Module]
    prefix: str = ""
    has_token: bool = False


def torchvision_model(name: str) -> Any:
    """A network of torchvision with random weights, also beside a torch that it was not compiled for.

    There the compiled operators are missing and the import fails on their names. The classification networks
    need none of them, so declaring the schemas is enough.
    """
    import torch

    try:
        import torchvision.models as models
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operator_schemas.append(library)
        import torchvision.models as models
    return getattr(models, name)(weights=None)


def _without_last_pool(name: str) -> nn.Module:
    return torchvision_model(name).features[:-2]  # without the last ReLU either, as in the paper


def _mobilenet_v3() -> nn.Module:
    return torchvision_model("mobilenet_v3_large").features[:13]


def _resnet(name: str, stages: int = 3) -> nn.Module:
    from torch import nn

    stem = 4  # convolution, normalisation, ReLU, pooling
    return nn.Sequential(OrderedDict(list(torchvision_model(name).named_children())[: stem + stages]))


def _efficientnet_lite0() -> nn.Module:
    from netvlad_core.model.efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0()


def _dinov2(channels: int, heads: int, blocks: int, **options: bool) -> nn.Module:
    from netvlad_core.model.dinov2 import DinoV2

    return DinoV2(channels, heads, blocks, **options)


_LITE0_240 = Preprocessing("shorter", (240,), (127.0,) * 3, (128.0,) * 3)
_IMAGENET_480 = Preprocessing("shorter", (480,), IMAGENET_MEAN, IMAGENET_STD)
_IMAGENET_322 = Preprocessing("shorter", (322,), IMAGENET_MEAN, IMAGENET_STD)

BACKBONES: dict[str, Backbone] = {
    # Cuts of the convolutional networks: behind the last layer of stride 16.
    "efficientnet_lite0": Backbone(112, 16, _LITE0_240, _efficientnet_lite0),
    "vgg16": Backbone(512, 16, _IMAGENET_480, lambda: _without_last_pool("vgg16"), prefix="features."),
    "alexnet": Backbone(256, 16, _IMAGENET_480, lambda: _without_last_pool("alexnet"), prefix="features."),
    "resnet18": Backbone(256, 16, _IMAGENET_480, lambda: _resnet("resnet18")),
    "resnet50": Backbone(1024, 16, _IMAGENET_480, lambda: _resnet("resnet50")),
    "mobilenet_v3": Backbone(112, 16, _IMAGENET_480, _mobilenet_v3, prefix="features."),
    # The whole network.
    "resnet18_layer4": Backbone(512, 32, _IMAGENET_480, lambda: _resnet("resnet18", 4)),
    "resnet50_layer4": Backbone(2048, 32, _IMAGENET_480, lambda: _resnet("resnet50", 4)),
    "resnet101_layer4": Backbone(2048, 32, _IMAGENET_480, lambda: _resnet("resnet101", 4)),
    "resnet152_layer4": Backbone(2048, 32, _IMAGENET_480, lambda: _resnet("resnet152", 4)),
}


@dataclass(frozen=True)
class _Transformer:
    """A size of DINOv2: channels, heads, blocks, and the block whose values AnyLoc takes."""

    channels: int
    heads: int
    blocks: int
    of_values: int
    has_gates: bool = False

    def entry(self, blocks: int | None = None, has_token: bool = False, **options: bool) -> Backbone:
        size = (self.channels, self.heads, blocks or self.blocks)
        options = {**options, "has_token": has_token, "has_gates": self.has_gates}
        return Backbone(
            self.channels, 14, _IMAGENET_322, lambda: _dinov2(*size, **options), has_token=has_token
        )


DINOV2 = {
    "dinov2_vits14": _Transformer(384, 6, 12, of_values=10),
    "dinov2_vitb14": _Transformer(768, 12, 12, of_values=10),
    "dinov2_vitl14": _Transformer(1024, 16, 24, of_values=20),
    "dinov2_vitg14": _Transformer(1536, 24, 40, of_values=31, has_gates=True),
}

for _name, _size in DINOV2.items():
    BACKBONES |= {
        # Normalised patch tokens of the last block, and with the token of the whole image.
        _name: _size.entry(),
        f"{_name}_token": _size.entry(has_token=True),
        # Patch tokens before the last normalisation.
        f"{_name}_raw": _size.entry(is_normalized=False),
        # Values of a block's attention, whose number counts from 0.
        f"{_name}_value": _size.entry(_size.of_values + 1, gives_values=True),
    }


def backbone_named(name: str) -> Backbone:
    """Look up the table; raises CheckpointError that lists the names."""
    if name not in BACKBONES:
        raise CheckpointError(f"unknown backbone {name!r}; there are: {', '.join(BACKBONES)}")
    return BACKBONES[name]
