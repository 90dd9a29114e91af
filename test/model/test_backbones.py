"""Every entry of the table is what it says, and weights come from files that are not trusted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import BACKBONES, backbone_named

TORCHVISION = ("vgg16", "alexnet", "resnet18", "resnet50")


@pytest.mark.parametrize("name", BACKBONES)
def test_channels_and_stride_are_as_stated(name: str) -> None:
    backbone = BACKBONES[name]
    side = 8 * backbone.stride
    with torch.device("meta"), torch.inference_mode():  # shapes only: VGG16 is large
        module = backbone.build().eval()
        small = module(torch.empty(1, 3, side, side))
        large = module(torch.empty(1, 3, side + 4 * backbone.stride, side + 2 * backbone.stride))
        if backbone.has_token:
            (small, token), (large, _) = small, large
            assert token.shape == (1, backbone.channels)
    assert small.shape[:2] == large.shape[:2] == (1, backbone.channels)
    assert (large.shape[2] - small.shape[2], large.shape[3] - small.shape[3]) == (4, 2)
    assert abs(small.shape[2] - 8) <= 1


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_cut_is_a_convolution_without_relu(name: str) -> None:
    with torch.device("meta"):
        assert isinstance(list(BACKBONES[name].build().children())[-1], nn.Conv2d)


def test_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"'vgg17'.*vgg16"):
        backbone_named("vgg17")
