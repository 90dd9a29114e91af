"""Networks on disk: one safetensors file that carries weights, description and fingerprint; no pickle."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from netvlad_core.errors import CheckpointError
from netvlad_core.files import written_whole
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_files import misfits

CHECKPOINT_FORMAT = "netvlad_ros checkpoint 1"


def save_checkpoint(network: PlaceNetwork, path: Path, is_half: bool = False) -> str:
    """Write a network and return its model_id; one network gives one file, to the byte.

    With `is_half` the weights are rounded to float16, in the network too, for a file of half the size.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    if is_half:
        tensors = {key: t.half() if t.dtype == torch.float32 else t for key, t in tensors.items()}
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


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its metadata in alphabetic order; the library's own order is random."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]
