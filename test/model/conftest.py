"""A small network and its ONNX files, which several tests open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.model.backbones import torchvision_model
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.export import export
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.open_engine import variant_path
from support.networks import random_network
from support.shared import made_once
from support.street import street, view


@pytest.fixture(scope="session")
def street_views() -> list[np.ndarray]:
    """Eight images of one street, uint8 RGB (120, 160, 3)."""
    fronts = street(seed=2, metres=80)
    return [view(fronts, x) for x in range(0, 80, 10)]


@pytest.fixture(scope="session")
def small_network(small_checkpoint: Path) -> PlaceNetwork:
    """AlexNet of random weights, clusters fitted on the street; 16 dimensions."""
    return load_checkpoint(small_checkpoint).eval()


@pytest.fixture(scope="session")
def small_checkpoint(street_views: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_network` on disk, with its ONNX files in float32, float16 and int8 beside it."""

    def make(folder: Path) -> None:
        network = random_network("alexnet", street_views, whitened_dimension=16)
        save_checkpoint(network, folder / "small.safetensors")
        for precision in ("float32", "float16", "int8"):
            export(network, variant_path(folder / "small.safetensors", precision), precision, street_views)

    return made_once(tmp_path_factory, "small", make) / "small.safetensors"


@pytest.fixture(scope="session")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 of random weights as torchvision writes it."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision_model("resnet18").state_dict(), path)
    return path
