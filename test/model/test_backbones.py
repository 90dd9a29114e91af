"""Every entry of the table is what it says, and weights come from files that are not trusted."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, backbone_named
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.pretrained import IMAGENET, load_pretrained
from netvlad_core.model.torch_engine import preprocess
from netvlad_core.model.torchvision_models import torchvision_models
from support.street import street, view

TORCHVISION = ("vgg16", "alexnet", "resnet18", "resnet50")


def published_state(name: str) -> dict[str, torch.Tensor]:
    """Random tensors in torchvision's layout of the whole classifier; those of its head take no memory."""
    with torch.device("meta"):
        whole = getattr(torchvision_models(), name)(weights=None).state_dict()
    is_head = ("classifier.", "fc.", "layer4.")
    return {
        key: torch.zeros(()).expand(value.shape) if key.startswith(is_head) else torch.rand(value.shape)
        for key, value in whole.items()
    }


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision_models().resnet18(weights=None).state_dict(), path)
    return path


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_and_stride_are_as_stated(name: str) -> None:
    backbone = BACKBONES[name]
    side = 8 * backbone.stride
    with torch.device("meta"), torch.inference_mode():  # shapes only: VGG16 is large
        module = backbone.build().eval()
        small = module(torch.empty(1, 3, side, side))
        large = module(torch.empty(1, 3, side + 4 * backbone.stride, side + 2 * backbone.stride))
    assert small.shape[:2] == large.shape[:2] == (1, backbone.channels)
    assert (large.shape[2] - small.shape[2], large.shape[3] - small.shape[3]) == (4, 2)
    assert abs(small.shape[2] - 8) <= 1


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


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_cut_is_a_convolution_without_relu(name: str) -> None:
    with torch.device("meta"):
        assert isinstance(list(BACKBONES[name].build().children())[-1], nn.Conv2d)


def test_file_from_before_batch_counts_loads(tmp_path: Path) -> None:
    state = published_state("resnet18")
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    assert torch.equal(load_pretrained("resnet18", tmp_path / "old.pth").bn1.weight, state["bn1.weight"])


def test_lite0_with_installed_weights_tells_images_apart() -> None:
    backbone, module = BACKBONES["efficientnet_lite0"], load_pretrained("efficientnet_lite0", IMAGENET)
    fronts = street(seed=5, metres=40)
    images = [view(fronts, 0), view(fronts, 0, gain=0.8), view(fronts, 30)]
    with torch.inference_mode():
        features = module(preprocess(images, backbone.preprocessing, torch.device("cpu")))
    assert features.isfinite().all()
    assert features.shape == (3, 112, 15, 20)
    same, darker, other = torch.nn.functional.normalize(features, dim=1)
    assert (same * darker).sum(dim=0).mean() > (same * other).sum(dim=0).mean() + 0.3


def test_lite0_is_the_published_network() -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch")
    weights = BACKBONES["efficientnet_lite0"].find_weights()
    assert weights is not None
    whole = published.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    images = torch.randn(1, 3, 224, 224)  # it pads for this size only
    with torch.inference_mode():
        x = torch.nn.functional.relu6(whole._bn0(whole._conv_stem(images)))
        for block in whole._blocks[:11]:
            x = block(x)
        ours = load_pretrained("efficientnet_lite0", IMAGENET)(images)
        torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 79), (81, 97)])
def test_lite0_rounds_its_map_up(height: int, width: int) -> None:
    features = BACKBONES["efficientnet_lite0"].build().eval()(torch.rand(1, 3, height, width))
    assert features.shape[2:] == (-(-height // 16), -(-width // 16))


def test_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"'vgg17'.*vgg16"):
        backbone_named("vgg17")


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
    with pytest.raises(CheckpointError, match=r"w\.pth: tensor layer2\.0\.conv1\.weight is missing"):
        load_pretrained("resnet18", tmp_path / "w.pth")


def test_other_network_is_refused_by_shape(resnet_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tensor features\.0\.weight is missing"):
        load_pretrained("vgg16", resnet_file)
    state = published_state("resnet18") | {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"conv1\.weight has shape \(64, 3, 3, 3\); expected \(64, 3, 7, 7\)"
    ):
        load_pretrained("resnet18", tmp_path / "w.pth")


def test_value_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_pretrained("resnet18", tmp_path / "list.pth")


class _Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_hostile_pickle_does_not_run(save, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "w.pth"
    pickle.loads(pickle.dumps(_Hostile(victim)))
    assert victim.exists(), "the attack of this test does not work at all"
    victim.unlink()
    save({"conv1.weight": _Hostile(victim)}, path)
    with pytest.raises(CheckpointError, match=r"w\.pth is not a PyTorch file of plain tensors"):
        load_pretrained("resnet18", path)
    assert not victim.exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_truncated_file_is_refused(kept: float, resnet_file: Path, tmp_path: Path) -> None:
    content = resnet_file.read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        load_pretrained("resnet18", path)


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
