"""Maximum pooling of our own against torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from netvlad_core.model.gpu_pooling import MaxPool, can_replace


@pytest.mark.parametrize("options", [(2, 2, 0), (3, 2, 1), (3, 2, 0)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_gives_what_torch_gives(device: str, options: tuple[int, int, int]) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x = torch.randn(2, 24, 31, 46, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
        x[1, 3, 4, 5], x[0, 0] = float("nan"), float("-inf")
        found = MaxPool(nn.MaxPool2d(*options))(x)
        expected = functional.max_pool2d(x, *options)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options", [{"dilation": 2}, {"ceil_mode": True}, {"return_indices": True}, {"kernel_size": (2, 3)}]
)
def test_pools_of_other_kinds_are_left_alone(options: dict[str, Any]) -> None:
    assert can_replace(nn.MaxPool2d(2))
    assert not can_replace(nn.MaxPool2d(**{"kernel_size": 2, **options}))
