"""Maximum pooling at the rate of the memory: torch's kernel for channels last takes four times as long."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

try:  # with torch for CUDA
    import triton
    from triton import language as tl
except ImportError:
    triton = None

_BLOCK = 2048  # entries of a program


class MaxPool(nn.Module):
    """What a MaxPool2d of square windows gives, for inference."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self._window, self._stride, self._padding = pool.kernel_size, pool.stride, pool.padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, h, w) of the same dtype."""
        is_packed = x.is_contiguous(memory_format=torch.channels_last)
        if triton is None or not x.is_cuda or not is_packed:
            return functional.max_pool2d(x, self._window, self._stride, self._padding)
        return _launch(x, self._window, self._stride, self._padding)


def can_replace(pool: nn.MaxPool2d) -> bool:
    """Whether a MaxPool does the same."""
    is_square = all(isinstance(side, int) for side in (pool.kernel_size, pool.stride, pool.padding))
    return is_square and pool.dilation == 1 and not pool.ceil_mode and not pool.return_indices


def _launch(x: Tensor, window: Any, stride: Any, padding: Any) -> Tensor:
    images, channels, height, width = x.shape
    rows, columns = ((side + 2 * padding - window) // stride + 1 for side in (height, width))
    shape = images, channels, rows, columns
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    programs = triton.cdiv(y.numel(), _BLOCK)
    _kernel[(programs,)](
        x, y, y.numel(), height, width, rows, columns, channels, window, stride, padding, _BLOCK, num_warps=8
    )
    return y


if triton is not None:

    @triton.jit
    def _kernel(  # type: ignore[no-untyped-def]
        x, y, size, height, width, rows, columns,
        channels: tl.constexpr, window: tl.constexpr, stride: tl.constexpr, padding: tl.constexpr,
        block: tl.constexpr,
    ):  # fmt: skip
        at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        channel, pixel = at % channels, at // channels
        line, left = pixel // columns, pixel % columns * stride - padding
        image, top = line // rows, line % rows * stride - padding
        largest = tl.full((block,), float("-inf"), x.dtype.element_ty)
        for i in tl.static_range(window):
            for j in tl.static_range(window):
                row, column = top + i, left + j
                is_inside = (at < size) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                source = ((image * height + row) * width + column) * channels + channel
                value = tl.load(x + source, is_inside, other=float("-inf"))
                largest = tl.maximum(largest, value, propagate_nan=tl.PropagateNan.ALL)
        tl.store(y + at, largest, at < size)
