"""Published weights of backbones are found, checked and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, torchvision_model
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.pretrained import load_pretrained
from support.street import street, view

TORCHVISION = ("vgg16", "alexnet", "resnet18", "resnet50")


def published_state(name: str) -> dict[str, torch.Tensor]:
    """Random tensors in torchvision's layout of the whole classifier; those of its head take no memory."""
    with torch.device("meta"):
        whole = torchvision_model(name).state_dict()
    is_head = ("classifier.", "fc.", "layer4.")
    return {
        key: torch.zeros(()).expand(value.shape)
        if key.startswith(is_head)
        else torch.rand(value.shape).to(value.dtype)
        for key, value in whole.items()
    }


@pytest.mark.parametrize("name", TORCHVISION)
def test_loads_the_published_layout(name: str, tmp_path: Path) -> None:
    state, path = published_state(name), tmp_path / "weights.pth"
    torch.save(state, path)
    module = load_pretrained(name, path)
    assert not module.training
    loaded = module.state_dict()
    assert len(loaded) > 4
    for key, tensor in loaded.items():
        assert torch.equal(tensor, state[BACKBONES[name].prefix + key].to(tensor.dtype)), key


def test_file_from_before_batch_counts_loads(tmp_path: Path) -> None:
    state = published_state("resnet18")
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    assert torch.equal(load_pretrained("resnet18", tmp_path / "old.pth").bn1.weight, state["bn1.weight"])


def test_no_weights_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"resnet18 on this machine.*--backbone-weights"):
        load_pretrained("resnet18")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file of weights .*nothing\.pth"):
        load_pretrained("resnet18", tmp_path / "nothing.pth")


def test_missing_tensor_is_named(tmp_path: Path) -> None:
    state = published_state("resnet18")
    del state["layer2.0.conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"weights of resnet18: layer2\.0\.conv1\.weight is missing"):
        load_pretrained("resnet18", tmp_path / "w.pth")


def test_other_network_is_refused_by_shape(resnet_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"weights of vgg16: features\.0\.weight is missing"):
        load_pretrained("vgg16", resnet_file)
    state = published_state("resnet18") | {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"conv1\.weight has the shape \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"
    ):
        load_pretrained("resnet18", tmp_path / "w.pth")


def test_other_backbone_gives_a_working_extractor(resnet_file: Path) -> None:
    from netvlad_core.model.fitting import fit_network
    from netvlad_core.model.spec import NetworkSpec

    images = [view(street(seed=5, metres=10), x) for x in (0, 5)]
    network = fit_network(
        lambda: iter(images), NetworkSpec.of_backbone("resnet18", clusters=4), resnet_file, device="cpu"
    )
    descriptors = Extractor.of(network, "cpu")(images)
    assert descriptors.shape == (2, 4 * 256)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
