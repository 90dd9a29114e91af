"""EfficientNet-Lite0 is the published network, also at odd sizes."""

from __future__ import annotations

import pytest
import torch

from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.checkpoints import IMAGENET, find_imagenet, load_pretrained
from netvlad_core.model.torch_engine import preprocess
from support.street import street, view


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
    weights = find_imagenet("efficientnet_lite0")
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
