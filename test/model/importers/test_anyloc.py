"""AnyLoc's cluster centres and DINOv2's own file become one network; what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, DINOV2
from netvlad_core.model.dinov2 import DinoV2
from netvlad_core.model.importers import import_weights


@pytest.fixture
def small_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """DINOv2's file, of three blocks and 64 channels, in the place of ViT-g."""
    monkeypatch.setitem(DINOV2, "dinov2_vitg14", replace(DINOV2["dinov2_vitg14"], channels=64))
    small = replace(
        BACKBONES["dinov2_vitg14_value"],
        channels=64,
        build=lambda: DinoV2(64, 1, 2, has_gates=True, gives_values=True),
    )
    monkeypatch.setitem(BACKBONES, "dinov2_vitg14_value", small)
    whole = DinoV2(64, 1, 3, has_gates=True).state_dict() | {"mask_token": torch.zeros(1, 64)}
    torch.save(whole, tmp_path / "dinov2_vitg14_pretrain.pth")
    return tmp_path / "dinov2_vitg14_pretrain.pth"


def test_cluster_centres_go_with_the_values_of_dinov2(small_values: Path, tmp_path: Path) -> None:
    centres = torch.randn(4, 64)
    path = tmp_path / "dinov2_vitg14_l31_value_c32_urban_c_centers.pt"
    torch.save(centres, path)
    network, project = import_weights(path, small_values)
    assert project == "AnyLoc's cluster centres"
    assert network.spec.name == "dinov2_vitg14_value-hard_vlad4"
    assert "BSD-3-Clause" in network.spec.origin
    assert torch.equal(network.aggregation.centroids, centres)
    whole = torch.load(small_values)
    for key, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, whole[key])
    assert network(torch.randn(1, 3, 48, 60)).shape == (1, 256)


@pytest.mark.parametrize(
    ("tensor", "name", "sentence"),
    [
        (torch.randn(4, 65), "a.pt", r"one tensor \(4, 65\); .* one of 384, 768, 1024, 64 channels"),
        (torch.randn(0, 64), "a.pt", r"one tensor \(0, 64\)"),
        (torch.randn(64), "a.pt", r"one tensor \(64,\)"),
        (torch.full((4, 64), torch.nan), "a.pt", "the tensor has entries that are not finite"),
        (torch.randn(1, 1).expand(4, 64), "a.pt", "data for a part of it only"),
        (torch.randn(4, 64), "l20_token_c32.pt", "centres are of l20_token; .* only l31_value is taken"),
    ],
)
def test_odd_centres_are_refused(
    small_values: Path, tensor: Tensor, name: str, sentence: str, tmp_path: Path
) -> None:
    torch.save(tensor, tmp_path / name)
    with pytest.raises(CheckpointError, match=sentence):
        import_weights(tmp_path / name, small_values)


def test_centres_want_the_weights_of_dinov2(small_values: Path, tmp_path: Path) -> None:
    torch.save(torch.randn(4, 64), tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError, match=r"name it with --backbone-weights .*fetch-weights dinov2_vitg14"
    ):
        import_weights(tmp_path / "a.pt")
