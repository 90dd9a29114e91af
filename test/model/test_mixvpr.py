"""MixVPR against its formulas in float64, and as an ONNX file of one size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.export import export
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.mixvpr import MixVPR
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec


def test_descriptors_are_those_of_the_formulas() -> None:
    layer = MixVPR(7, cells=6, mixers=2, hidden=5, width=3, rows=2)
    for weight in layer.parameters():
        weight.data.normal_()
    features = torch.randn(2, 7, 2, 3)
    weights = {key: value.double().numpy() for key, value in layer.state_dict().items()}
    found = layer(features).detach().numpy()
    for image, row in zip(features.double().numpy(), found, strict=True):
        x = image.reshape(7, 6)
        for n in range(2):
            scale, shift, first, offset, second, last = (
                weights[f"mixers.{n}.mix.{part}.{kind}"] for part in (0, 1, 3) for kind in ("weight", "bias")
            )
            centred = x - x.mean(axis=1, keepdims=True)
            normalised = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * scale + shift
            x = x + np.maximum(normalised @ first.T + offset, 0) @ second.T + last
        x = weights["by_channel.weight"] @ x + weights["by_channel.bias"][:, None]
        x = (x @ weights["by_cell.weight"].T + weights["by_cell.bias"]).ravel()
        np.testing.assert_allclose(row, x / np.linalg.norm(x), atol=1e-5)


def _spec() -> NetworkSpec:
    settings = {"cells": 12, "mixers": 1, "hidden": 4, "width": 3, "rows": 2}
    spec = NetworkSpec.of_backbone("alexnet", aggregation="mixvpr", settings=settings)
    return replace(spec, preprocessing=replace(spec.preprocessing, resize="exact", size=(64, 80)))


def test_exported_file_has_the_size_of_its_cells(street_views: list[np.ndarray], tmp_path: Path) -> None:
    network = PlaceNetwork(_spec()).eval()
    assert export(network, tmp_path / "mix.onnx").difference < 1e-5
    sides = onnx.load(tmp_path / "mix.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in sides] == ["batch", 64, 80, 3]
    images = [street_views[0], street_views[1][:, :70]]
    by_onnx, by_torch = (
        extractor(images)
        for extractor in (Extractor.load(tmp_path / "mix.onnx", "cpu"), Extractor.of(network, "cpu"))
    )
    assert (by_onnx * by_torch).sum(axis=1).min() > 0.99


def test_is_not_fitted(street_views: list[np.ndarray], tmp_path: Path) -> None:
    network = PlaceNetwork(_spec())
    state = {f"features.{key}": value for key, value in network.backbone.state_dict().items()}
    torch.save(state, tmp_path / "alexnet.pth")
    with pytest.raises(NetvladError, match="mixvpr has to be trained: import weights"):
        fit_network(lambda: iter(street_views), _spec(), tmp_path / "alexnet.pth")


def test_hostile_number_of_mixers_is_refused() -> None:
    with pytest.raises(CheckpointError, match="at most 64 mixers; found 65"):
        MixVPR(4, cells=4, mixers=65, hidden=4, width=2, rows=2)
