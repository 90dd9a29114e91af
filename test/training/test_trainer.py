"""Which parts of a network learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from netvlad_core.errors import NetvladError
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.training.trainer import blocks, train_only


@pytest.fixture
def network(tiny: Path) -> PlaceNetwork:
    network = load_checkpoint(tiny)
    preprocessing = replace(network.spec.preprocessing, resize="shorter", size=(64,))
    network.spec = replace(network.spec, preprocessing=preprocessing)
    return network


def test_frozen_parts_stay(network: PlaceNetwork) -> None:
    assert len(blocks(network.backbone)) == 13, "stem, its normalisation, eleven blocks"
    head = len(list(network.netvlad.parameters()))
    assert len(train_only(network, "head")) == len(train_only(network, 0)) == head
    last = train_only(network, 1)
    assert {id(p) for p in last} == {
        id(p) for part in (network.backbone._blocks[-1], network.netvlad) for p in part.parameters()
    }
    assert len(train_only(network, "all")) == len(list(network.parameters()))
    with pytest.raises(NetvladError, match=r"trainable is 14, .* 13 blocks"):
        train_only(network, 14)


def test_paper_trains_vgg16_from_conv5_1() -> None:
    from netvlad_core.model.backbones import BACKBONES
    from netvlad_core.model.spec import NetworkSpec

    with torch.device("meta"):
        vgg = PlaceNetwork(NetworkSpec("vgg16", BACKBONES["vgg16"].preprocessing))
    train_only(vgg, 3)
    learning = [name for name, p in vgg.backbone.named_parameters() if p.requires_grad]
    assert learning == [f"{layer}.{what}" for layer in (24, 26, 28) for what in ("weight", "bias")]
