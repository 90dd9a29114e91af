"""A network of images of 64 pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture(scope="session")
def tiny(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = load_checkpoint(checkpoint)
    preprocessing = replace(network.spec.preprocessing, resize="exact", size=(64, 64))
    network.spec = replace(network.spec, preprocessing=preprocessing)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_checkpoint(network, path)
    return path
