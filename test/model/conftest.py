"""A small network and its ONNX files, which several tests open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.export import export
from netvlad_core.model.extractor import variant_path
from netvlad_core.model.network import PlaceNetwork
from support.networks import random_network
from support.street import street, view


@pytest.fixture(scope="session")
def street_views() -> list[np.ndarray]:
    """Eight images of one street, uint8 RGB (120, 160, 3)."""
    fronts = street(seed=2, metres=80)
    return [view(fronts, x) for x in range(0, 80, 10)]


@pytest.fixture(scope="session")
def small_network(street_views: list[np.ndarray]) -> PlaceNetwork:
    """AlexNet of random weights, clusters fitted on the street; 16 dimensions."""
    return random_network("alexnet", street_views, whitened_dimension=16)


@pytest.fixture(scope="session")
def small_checkpoint(
    small_network: PlaceNetwork, street_views: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`small_network` on disk, with its ONNX files in float32, float16 and int8 beside it."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_checkpoint(small_network, path)
    for precision in ("float32", "float16", "int8"):
        export(small_network, variant_path(path, precision), precision, street_views)
    return path
