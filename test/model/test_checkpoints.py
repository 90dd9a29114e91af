"""Checkpoints come back as they were written, or not at all; published weights of backbones are checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, torchvision_model
from netvlad_core.model.checkpoints import load_checkpoint, load_pretrained, save_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.network import PlaceNetwork
from support.street import street, view


@pytest.fixture
def network(checkpoint: Path) -> PlaceNetwork:
    return load_checkpoint(checkpoint)


def content_of(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def test_round_trip(network: PlaceNetwork, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "w.safetensors"
    model_id = save_checkpoint(network, path)
    again = load_checkpoint(path)
    assert again.fingerprint() == network.fingerprint() == model_id
    assert again.spec == network.spec
    assert not again.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"]


def test_writing_twice_gives_the_same_bytes(network: PlaceNetwork, checkpoint: Path, tmp_path: Path) -> None:
    save_checkpoint(network, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == checkpoint.read_bytes()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*w\.safetensors"):
        load_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.2, 0.999])
def test_truncated_file_is_refused(kept: float, checkpoint: Path, tmp_path: Path) -> None:
    content, path = checkpoint.read_bytes(), tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors is damaged"):
        load_checkpoint(path)


def test_flipped_bits_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    # Many in the description, where a bit can make anything of it, and some in the weights.
    description = bytes(content[:header]).index(b"spec")
    positions = [
        *random.integers(description, description + 400, 25),
        *random.integers(0, header, 10),
        *random.integers(header, len(content), 5),
    ]
    path = tmp_path / "flipped.safetensors"
    for position in map(int, positions):
        bit = 1 << int(random.integers(7))
        content[position] ^= bit
        path.write_bytes(content)
        content[position] ^= bit
        try:
            load_checkpoint(path)
        except CheckpointError:
            continue
        pytest.fail(f"bit {bit} of byte {position} of {header} + {len(content) - header} made no difference")


def test_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors states 'no format at all'; expected"):
        load_checkpoint(path)


def test_pytorch_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"w\.pth is damaged"):
        load_checkpoint(path)


def test_other_weights_under_the_old_fingerprint_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    tensors, metadata = content_of(checkpoint)
    tensors["netvlad.centroids"] = tensors["netvlad.centroids"] + 1e-6
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "w.safetensors")
    names = [word for word in str(caught.value).split() if "@" in word]
    assert metadata["model_id"] in names
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": 16},
        {"clusters": -1},
        {"clusters": "8"},
        {"backbone": "vgg17"},
        {"whitened_dimension": 1.5},
    ],
)
def test_description_that_does_not_fit_the_weights_is_refused(
    change: dict[str, object], checkpoint: Path, tmp_path: Path
) -> None:
    tensors, metadata = content_of(checkpoint)
    metadata["spec"] = json.dumps(json.loads(metadata["spec"]) | change)
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_missing_tensor_is_named(checkpoint: Path, tmp_path: Path) -> None:
    tensors, metadata = content_of(checkpoint)
    del tensors["netvlad.centroids"]
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"netvlad\.centroids"):
        load_checkpoint(tmp_path / "w.safetensors")


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


def test_missing_file_of_a_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file of weights .*nothing\.pth"):
        load_pretrained("resnet18", tmp_path / "nothing.pth")


def test_missing_tensor_of_a_backbone_is_named(tmp_path: Path) -> None:
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
