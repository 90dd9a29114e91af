"""Networks on disk: one safetensors file that carries weights, description and fingerprint; no pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from netvlad_core.errors import CheckpointError
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec

_FORMAT = "netvlad_ros checkpoint 1"


def save_checkpoint(network: PlaceNetwork, path: Path) -> str:
    """Write a network beside `path`, then rename it there; returns its model_id."""
    model_id = network.fingerprint()
    metadata = {"format": _FORMAT, "model_id": model_id, "spec": network.spec.to_json()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)
    return model_id


def load_checkpoint(path: Path) -> PlaceNetwork:
    """Read a network in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, no checkpoint of this project, or its weights have changed since
        they were written.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                found = metadata.get("format", "no format at all")
                raise CheckpointError(f"{path} states {found!r}; expected {_FORMAT!r}")
            network = PlaceNetwork(NetworkSpec.from_json(metadata.get("spec", "")))
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (SafetensorError, RuntimeError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}") from error
    found, stated = network.fingerprint(), metadata.get("model_id")
    if found != stated:
        raise CheckpointError(f"the checkpoint {path} states the model {stated} but its weights are {found}")
    return network.eval()
