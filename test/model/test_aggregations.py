"""Every entry of the table is what it says, in a network, through a checkpoint, and with hostile settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.aggregations import AGGREGATIONS, aggregation_named
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.dinov2 import DinoV2
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec

_SETTINGS = {
    "salad": {"clusters": 3, "cluster_dimension": 4, "token_dimension": 5},
    "boq": {"width": 64, "queries": 2, "layers": 1, "rows": 3},
    "mixvpr": {"cells": 63, "mixers": 2, "hidden": 5, "width": 6, "rows": 2},
}
_DIMENSIONS = {
    "netvlad": 448, "hard_vlad": 448, "gem": 112, "salad": 17, "boq": 192, "mixvpr": 12, "class_token": 64,
}  # fmt: skip


def _spec(name: str, monkeypatch: pytest.MonkeyPatch) -> NetworkSpec:
    backbone = "efficientnet_lite0"
    if AGGREGATIONS[name].takes_token:
        backbone = "dinov2_vitb14_token"
        small = replace(BACKBONES[backbone], channels=64, build=lambda: DinoV2(64, 2, 1, has_token=True))
        monkeypatch.setitem(BACKBONES, backbone, small)
    spec = NetworkSpec.of_backbone(backbone, clusters=4, aggregation=name, settings=_SETTINGS.get(name, {}))
    if AGGREGATIONS[name].has_fixed_size:
        spec = replace(spec, preprocessing=replace(spec.preprocessing, resize="exact", size=(112, 140)))
    return spec


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_network_gives_unit_vectors_of_the_stated_dimension_and_survives_a_file(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = _spec(name, monkeypatch)
    assert spec.dimension == _DIMENSIONS[name]
    network, images = PlaceNetwork(spec).eval(), torch.randn(2, 3, 112, 140)
    model_id = save_checkpoint(network, tmp_path / "network.safetensors")
    again = load_checkpoint(tmp_path / "network.safetensors")
    with torch.inference_mode():
        descriptors, found = network(images), again(images)
    assert descriptors.shape == (2, spec.dimension)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(found, descriptors)
    assert again.fingerprint() == model_id
    assert model_id.startswith(f"{spec.backbone}-{name}")


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_whitened_descriptor_is_a_linear_layer_of_what_the_aggregation_gives(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = PlaceNetwork(replace(_spec(name, monkeypatch), whitened_dimension=6)).eval()
    with torch.inference_mode():
        features = network.backbone(torch.randn(1, 3, 112, 140))
        layer: Any = network.whitening.projection
        expected = layer(network.aggregation(features))
        found = network.aggregate(features)
    torch.testing.assert_close(found, expected / expected.norm())


def test_backbone_must_give_what_the_aggregation_takes() -> None:
    spec = NetworkSpec.of_backbone("efficientnet_lite0", aggregation="salad", settings=_SETTINGS["salad"])
    with (
        torch.device("meta"),
        pytest.raises(CheckpointError, match="wants a backbone with one of the tokens"),
    ):
        PlaceNetwork(spec)


@pytest.mark.parametrize("size", [(112,), (112, 156)])
def test_aggregation_of_one_size_wants_images_of_that_size(
    size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec("mixvpr", monkeypatch)
    rule = "exact" if len(size) == 2 else "shorter"
    other = replace(spec, preprocessing=replace(spec.preprocessing, resize=rule, size=size))
    with (
        torch.device("meta"),
        pytest.raises(CheckpointError, match=r"weights for 63 cells, .* have (70|any)"),
    ):
        PlaceNetwork(other)


@pytest.mark.parametrize("value", [0, -1, 2**20, 1.5, True, "3"])
def test_settings_that_are_no_sizes_are_refused(value: object) -> None:
    text = NetworkSpec.of_backbone(aggregation="boq", settings=_SETTINGS["boq"]).to_json()
    with pytest.raises(CheckpointError, match=r"setting rows|not readable"):
        NetworkSpec.from_json(text.replace('"rows": 3', f'"rows": {value!r}'.replace("'", '"')))


def test_missing_settings_are_named() -> None:
    with pytest.raises(CheckpointError, match="no setting 'width' of boq"):
        _ = NetworkSpec.of_backbone(aggregation="boq").dimension


def test_network_without_its_settings_is_refused() -> None:
    with torch.device("meta"), pytest.raises(CheckpointError, match="no setting 'width' of boq"):
        PlaceNetwork(NetworkSpec.of_backbone(aggregation="boq"))


def test_unknown_aggregation_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"'median'.*netvlad"):
        aggregation_named("median")
