"""`netvlad import-weights` says what it found, and writes a checkpoint that can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.cli import main
from netvlad_core.model.extractor import Extractor
from support import foreign_weights as foreign


def test_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(8)
    assignment, centroids = foreign.layer_weights(random, 32, 256)
    state = foreign.tensors(foreign.alexnet_weights(random), "encoder.")
    state |= foreign.tensors({"centroids": centroids, "conv.weight": assignment[:, :, None, None]}, "pool.")
    weights, output = tmp_path / "checkpoint.pth.tar", tmp_path / "mine.safetensors"
    torch.save({"epoch": 30, "state_dict": state, "best_score": 0.9, "optimizer": {}}, weights)
    assert main(["import-weights", str(weights), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "Nanne/pytorch-NetVlad" in printed
    assert "alexnet" in printed
    descriptor = Extractor.load(output, "cpu")(np.full((120, 160, 3), 90, np.uint8))
    assert descriptor.shape == (1, 32 * 256)
    assert main(["import-weights", str(weights), "--output", str(output), "--dimension", "64"]) == 1
    assert "is not whitened, so it cannot be cropped" in capsys.readouterr().err
    assert main(["import-weights", str(output), "--output", str(output)]) == 1
    assert "is read by this command, too" in capsys.readouterr().err
