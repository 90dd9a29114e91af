"""What an importer takes out of a file, and how it becomes a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from netvlad_core.errors import CheckpointError
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing
from netvlad_core.model.spec import NetworkSpec

_MOST_NAMED = 6


@dataclass(frozen=True)
class Parts:
    """The tensors of one network under our names, each with the name that it has in the file.

    Attributes
    ----------
    backbone : key of the backbone table.
    preprocessing : what the project of the file does to its images.
    tensors : tensors by their names in a `PlaceNetwork`.
    names : name in the file of each, for messages; our own name if it is missing.
    unused : names in the file that should have been of use.
    """

    backbone: str
    preprocessing: Preprocessing
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def assemble(parts: Parts, path: Path, layout: str) -> PlaceNetwork:
    """Build the network in float32.

    Raises
    ------
    CheckpointError
        If a tensor is missing, has another shape or type than the network needs, or is not finite.
    """
    centroids = parts.tensors.get("netvlad.centroids")
    whitening = parts.tensors.get("whitening.projection.bias")
    spec = NetworkSpec(
        parts.backbone,
        parts.preprocessing,
        clusters=len(centroids) if centroids is not None and centroids.ndim == 2 else 64,
        assignment_bias="netvlad.assignment.bias" in parts.tensors,
        whitened_dimension=None if whitening is None else whitening.numel(),
    )
    with torch.device("meta"):
        network = PlaceNetwork(spec)
    wanted = network.state_dict()
    problems = [problem for key in wanted if (problem := _problem(key, wanted[key], parts))]
    problems += [f"{name} belongs to no part of it" for name in parts.unused]
    if problems:
        shown = "; ".join(problems[:_MOST_NAMED])
        more = f"; and {len(problems) - _MOST_NAMED} others" if len(problems) > _MOST_NAMED else ""
        raise CheckpointError(f"{path} looks like {layout} with {parts.backbone}, but {shown}{more}")
    state = {key: _as_float(parts.tensors[key]) for key in wanted if key in parts.tensors}
    counts = {key: torch.zeros((), dtype=value.dtype) for key, value in wanted.items() if key not in state}
    network.load_state_dict({**state, **counts}, assign=True)
    return network.requires_grad_(True).eval()


def _problem(key: str, wanted: Tensor, parts: Parts) -> str | None:
    found, name = parts.tensors.get(key), parts.names.get(key, key)
    if found is None:
        # Files from before PyTorch 0.4.1 lack this count of training steps; no descriptor depends on it.
        return None if key.endswith("num_batches_tracked") else f"{name} is missing"
    if found.shape != wanted.shape:
        return f"{name} has the shape {tuple(found.shape)}, expected {tuple(wanted.shape)}"
    if found.is_floating_point() != wanted.is_floating_point():
        return f"{name} has the type {found.dtype}, expected {wanted.dtype}"
    if not torch.isfinite(found).all():
        return f"{name} has entries that are not finite"
    return None


def _as_float(tensor: Tensor) -> Tensor:
    # A copy, for what comes from a file may be mapped into memory and change with it.
    return tensor.to(torch.float32, copy=True).contiguous() if tensor.is_floating_point() else tensor.clone()
