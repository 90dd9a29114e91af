"""Layers put together compute what they computed apart."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.fused_layers import fold_batch_norms, fuse_layers


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "resnet18", "efficientnet_lite0", "mobilenet_v3"])
@pytest.mark.parametrize("size", [(96, 128), (99, 131)])
def test_fused_backbone_computes_the_same(name: str, size: tuple[int, int]) -> None:
    backbone = BACKBONES[name].build().eval()
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.detach(), layer.bias.detach(), layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 1.5)
    before = copy.deepcopy(backbone.state_dict())
    images = torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected, found = backbone(images), fuse_layers(backbone)(images)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    after = backbone.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items()), "it works on a copy"


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenet_v3"])
def test_folding_leaves_no_batch_norm(name: str) -> None:
    backbone = BACKBONES[name].build().eval()
    folded = fold_batch_norms(backbone)
    counts = [
        sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        for network in (backbone, folded)
    ]
    assert counts[0] > 10
    assert counts[1] == 0
    images = torch.randn(2, 3, 65, 98)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), backbone(images), rtol=1e-3, atol=1e-4)


def test_of_vgg16_convolutions_and_pools_remain() -> None:
    fused = fuse_layers(BACKBONES["vgg16"].build())
    kinds = [type(layer).__name__ for layer in fused.children()]
    assert kinds.count("_ConvolutionReLU") == 12
    assert kinds.count("MaxPool") == 4
    assert kinds.count("Conv2d") == 1, "the last convolution has no ReLU"
    assert len(kinds) == 17


def test_convolution_that_others_read_too_is_left_alone() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.convolution(x)
            return y + self.relu(y)

    network = Branching().eval()
    images = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(fuse_layers(network)(images), network(images))


def test_transformer_comes_back_as_it_is() -> None:
    backbone = BACKBONES["dinov2_vits14"].build()
    assert fuse_layers(backbone) is backbone
    assert fold_batch_norms(backbone) is backbone
