"""CosPlace, SALAD, MegaLoc, BoQ, MixVPR: the names of a file become the network of its project."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, torchvision_model
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.dinov2 import DinoV2
from netvlad_core.model.importers import import_weights
from netvlad_core.model.network import PlaceNetwork

State = dict[str, Tensor]


@pytest.fixture
def small_dino(monkeypatch: pytest.MonkeyPatch) -> None:
    """DINOv2 of one block and 64 channels in the place of ViT-B, whose files have 350 MB."""
    for name, options in (("_token", {"has_token": True}), ("_raw", {"is_normalized": False})):
        entry = BACKBONES[f"dinov2_vitb14{name}"]
        small = replace(entry, channels=64, build=lambda options=options: DinoV2(64, 2, 1, **options))
        monkeypatch.setitem(BACKBONES, f"dinov2_vitb14{name}", small)


def _numbered(stages: int) -> State:
    children = list(torchvision_model("resnet18").children())[: 4 + stages]
    return nn.Sequential(*children).state_dict()


def _dino() -> State:
    state = DinoV2(64, 2, 1).state_dict()
    return {key: torch.randn_like(tensor) * 0.1 for key, tensor in state.items()} | {
        "mask_token": torch.zeros(1, 64)
    }


def _under(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def _linear(name: str, rows: int, columns: int, *kernel: int) -> State:
    weight = torch.randn(rows, columns, *kernel) / columns**0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(rows)}


def _cosplace() -> State:
    layer = {"aggregation.1.p": torch.tensor([2.7])} | _linear("aggregation.3", 24, 512)
    return _under("backbone.", _numbered(4)) | layer


def _salad_layer() -> State:
    state = {"dust_bin": torch.tensor(0.3)} | _linear("token_features.0", 512, 64)
    state |= _linear("token_features.2", 6, 512)
    for name, rows in (("cluster_features", 5), ("score", 4)):
        state |= _linear(f"{name}.0", 512, 64, 1, 1) | _linear(f"{name}.3", rows, 512, 1, 1)
    return state


def _salad() -> State:
    return _under("backbone.model.", _dino()) | _under("aggregator.", _salad_layer())


def _megaloc() -> State:
    dino = {key: tensor for key, tensor in _dino().items() if key != "mask_token"}
    layer = _under("aggregator.agg.", _salad_layer()) | _linear("aggregator.linear", 10, 26)
    return _under("backbone.", dino) | layer


def _boq_layer(channels: int) -> State:
    state = _linear("proj_c", 64, channels, 3, 3) | _linear("fc", 3, 2 * 4)
    for name in ("norm_input", *(f"boqs.{n}.{norm}" for n in (0, 1) for norm in ("norm_q", "norm_out"))):
        state |= {f"{name}.weight": torch.rand(64) + 0.5, f"{name}.bias": torch.randn(64)}
    for n in (0, 1):
        encoder = nn.TransformerEncoderLayer(64, 1, 256, batch_first=True)
        attention = nn.MultiheadAttention(64, 1, batch_first=True).state_dict()
        state |= {f"boqs.{n}.queries": torch.randn(1, 4, 64)}
        state |= _under(f"boqs.{n}.encoder.", encoder.state_dict())
        for name in ("self_attn", "cross_attn"):
            state |= _under(f"boqs.{n}.{name}.", attention)
    return state


def _boq_dino() -> State:
    return _under("backbone.dino.", _dino()) | _under("aggregator.", _boq_layer(64))


def _boq_resnet() -> State:
    return _under("backbone.net.", _numbered(3)) | _under("aggregator.", _boq_layer(256))


def _mixvpr() -> State:
    """ResNet by torchvision's names, cut behind its third stage; 20x20 cells."""
    children = list(torchvision_model("resnet18").named_children())[:7]
    state = _under("backbone.model.", nn.Sequential(OrderedDict(children)).state_dict())
    layer = _linear("channel_proj", 6, 256) | _linear("row_proj", 2, 400)
    for n in (0, 1):
        layer |= _linear(f"mix.{n}.mix.1", 5, 400) | _linear(f"mix.{n}.mix.3", 400, 5)
        layer |= {f"mix.{n}.mix.0.weight": torch.rand(400), f"mix.{n}.mix.0.bias": torch.randn(400)}
    return state | _under("aggregator.", layer)


_FILES: dict[str, tuple[Callable[[], State], str, str, int, str]] = {
    "cosplace": (_cosplace, "CosPlace or EigenPlaces", "resnet18_layer4", 24, "size kept"),
    "mixvpr": (_mixvpr, "MixVPR", "resnet18", 12, "exactly 320x320"),
    "salad": (_salad, "SALAD or CliqueMining", "dinov2_vitb14_token", 26, "exactly 322x322"),
    "megaloc": (_megaloc, "MegaLoc", "dinov2_vitb14_token", 10, "multiples of 14"),
    "boq-dino": (_boq_dino, "BoQ, DINOv2", "dinov2_vitb14_raw", 192, "exactly 322x322"),
    "boq-resnet": (_boq_resnet, "BoQ, ResNet", "resnet18", 192, "exactly 384x384"),
}


def _written(state: State, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save(OrderedDict(state), path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", _FILES)
@pytest.mark.usefixtures("small_dino")
def test_file_becomes_a_network(name: str, suffix: str, tmp_path: Path) -> None:
    make, project, backbone, dimension, preparation = _FILES[name]
    state = make()
    # Some tensors are there twice, which safetensors does not write.
    path = _written({key: tensor.clone() for key, tensor in state.items()}, tmp_path / f"weights{suffix}")
    network, found = import_weights(path)
    assert found.startswith(project)
    assert (network.spec.backbone, network.spec.dimension) == (backbone, dimension)
    assert preparation in str(network.spec.preprocessing)
    with torch.inference_mode():
        descriptors = network(torch.randn(2, 3, *((320, 320) if name == "mixvpr" else (140, 168))))
    assert descriptors.shape == (2, dimension)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2))
    _same_tensors(network, state)


def _same_tensors(network: PlaceNetwork, state: State) -> None:
    """Each tensor of the network is one of the file, and no two are the same one."""
    left = [tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")]
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        rows = [n for n, other in enumerate(left) if other.shape == tensor.shape and other.equal(tensor)]
        assert rows, key
        del left[rows[0]]


@pytest.mark.usefixtures("small_dino")
@pytest.mark.parametrize("name", _FILES)
def test_what_is_missing_is_named(name: str, tmp_path: Path) -> None:
    state = _FILES[name][0]()
    last = sorted(key for key in state if key.startswith("backbone") and key.endswith("weight"))[-1]
    del state[last]
    path = _written(state, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=last.replace(".", r"\.")):
        import_weights(path)


def test_cosplace_computes_its_formula(tmp_path: Path) -> None:
    state = _cosplace()
    network, _ = import_weights(_written(state, tmp_path / "weights.pth"))
    with torch.inference_mode():
        images = torch.randn(1, 3, 64, 96)
        features = network.backbone(images)[0].double().numpy().reshape(512, -1)
        found = network(images)[0].numpy()
    unit = features / np.linalg.norm(features, axis=0)
    mean = (np.maximum(unit, 1e-6) ** 2.7).mean(axis=1) ** (1 / 2.7)
    weight, bias = (state[f"aggregation.3.{kind}"].double().numpy() for kind in ("weight", "bias"))
    expected = weight @ mean + bias
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_licence_is_recorded_in_the_file_and_changes_no_name(tmp_path: Path) -> None:
    state = _cosplace()
    network, _ = import_weights(_written(state, tmp_path / "weights.pth"))
    model_id = save_checkpoint(network, tmp_path / "ours.safetensors")
    again = load_checkpoint(tmp_path / "ours.safetensors")
    assert again.spec.origin == "CosPlace or EigenPlaces; licence of the weights: MIT"
    again.spec = replace(again.spec, origin="")
    assert again.fingerprint() == model_id


def test_truncated_safetensors_is_refused(tmp_path: Path) -> None:
    path = _written({"a": torch.randn(100)}, tmp_path / "weights.safetensors")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        import_weights(path)
