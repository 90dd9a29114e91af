"""The parts of a network that an importer takes out of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_files import misfits


@dataclass(frozen=True)
class Parts:
    """The tensors of one network under our names, each with the name that it has in the file.

    Attributes
    ----------
    backbone : key of the backbone table.
    preprocessing : resizing and normalisation of the file's project.
    tensors : tensors by their names in a `PlaceNetwork`; missing ones are left out.
    names : name in the file of each, for messages.
    unused : names in the file that should have been of use.
    options : fields of the network's description that tell about its aggregation.
    """

    backbone: str
    preprocessing: Preprocessing
    tensors: Mapping[str, torch.Tensor]
    names: Mapping[str, str]
    unused: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def assemble(self, path: Path, layout: str, licence: str) -> PlaceNetwork:
        """Build the network in float32; raises CheckpointError that names file, layout and misfits."""
        whitening = self.tensors.get("whitening.projection.bias")
        spec = NetworkSpec(
            self.backbone,
            self.preprocessing,
            whitened_dimension=None if whitening is None else whitening.numel(),
            origin=f"{layout}; licence of the weights: {licence}",
            **self.options,
        )
        with torch.device("meta"):
            network = PlaceNetwork(spec)
        if wrong := misfits(network, self.tensors, self.names, self.unused):
            raise CheckpointError(f"{path} looks like {layout} with {self.backbone}, but {wrong}")
        state = {}
        for key, wanted in network.state_dict().items():
            found = self.tensors.get(key, torch.zeros(()))  # missing: a count of training steps
            # A copy, because what comes from a file may be mapped into memory and change with it.
            kind = torch.float32 if wanted.is_floating_point() else wanted.dtype
            state[key] = found.to(kind, copy=True).contiguous()
        network.load_state_dict(state, assign=True)
        return network.requires_grad_(True).eval()
