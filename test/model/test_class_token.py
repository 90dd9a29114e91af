"""The class token as a descriptor, fitted and exported with nothing of its own to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.class_token import ClassToken
from netvlad_core.model.dinov2 import DinoV2
from netvlad_core.model.export import export
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.training.trainer import train_only

_NAME = "dinov2_vits14_token"


def test_is_the_token() -> None:
    token = torch.randn(2, 5)
    assert torch.equal(ClassToken()((torch.randn(2, 5, 3, 4), token)), token)


def test_published_weights_are_enough(
    street_views: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(
        BACKBONES[_NAME],
        channels=64,
        build=lambda: DinoV2(64, 1, 1, has_token=True),
        preprocessing=replace(BACKBONES[_NAME].preprocessing, size=(56,)),
    )
    monkeypatch.setitem(BACKBONES, _NAME, small)
    torch.save(small.build().state_dict(), tmp_path / "dino.pth")
    spec = NetworkSpec.of_backbone(_NAME, aggregation="class_token", whitened_dimension=4)
    network = fit_network(lambda: iter(street_views), spec, tmp_path / "dino.pth")
    assert network.spec.name == f"{_NAME}-class_token-white4"
    export(network, tmp_path / "token.onnx", images=street_views[:2])
    by_onnx, by_torch = (
        extractor(street_views)
        for extractor in (Extractor.load(tmp_path / "token.onnx", "cpu"), Extractor.of(network, "cpu"))
    )
    assert (by_onnx * by_torch).sum(axis=1).min() > 0.99
    network.whitening = torch.nn.Identity()
    with pytest.raises(NetvladError, match="class_token has no weights and the backbone is frozen"):
        train_only(network, "head")
