"""The network that training begins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from netvlad_core.errors import ImageError
from netvlad_core.mapping.keyframes import step_of
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views


def initial_network(
    config: TrainingConfig, database: Views, folder: Path, processes: Processes
) -> PlaceNetwork:
    """Read the configured checkpoint, or fit clusters on the database and keep them as `initial.safetensors`.

    Raises
    ------
    CheckpointError
        If the weights cannot be read.
    SourceError
        If the images do not suffice for the clusters.
    """
    if config.weights:
        return load_checkpoint(PACKAGED_NETWORK if config.weights == "packaged" else Path(config.weights))
    path = folder / "initial.safetensors"
    if processes.is_first and not path.is_file():
        network = fit_network(
            lambda: _sample(database),
            NetworkSpec.of_backbone(config.backbone, clusters=config.clusters),
            Path(config.backbone_weights) if config.backbone_weights else None,
            config.seed,
            str(processes.device),
        )
        save_checkpoint(network.cpu(), path)
    processes.wait()
    return load_checkpoint(path)


def _sample(views: Views) -> Iterator[np.ndarray]:
    """Images evenly spread over the database that can be read."""
    for row in range(0, len(views), step_of(len(views))):
        try:
            yield views.read(row)
        except ImageError:
            continue  # counted when its descriptor is wanted
