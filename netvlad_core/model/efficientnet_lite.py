"""EfficientNet-Lite0, cut where NetVLAD begins.

EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation and with ReLU6, as TensorFlow published it
for small machines. Names of modules and the padding are those of the PyTorch conversion of its weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

# Stages of Lite0: (blocks, kernel, stride, expansion, channels out), without the last two, of stride 32.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
_STEM_CHANNELS = 32
_BATCH_NORM_EPSILON = 1e-3


class SamePadConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, which puts the odd pixel at the bottom and right.

    With stride 1 and an odd kernel that is the usual padding. Otherwise it depends on the size of the image,
    in a form without branches, so that an exported network pads correctly whatever the size.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == (1, 1):
            return functional.conv2d(x, self.weight, self.bias, padding="same", groups=self.groups)
        (top, bottom), (left, right) = (self._padding(x.shape[axis + 2], axis) for axis in (0, 1))
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)

    def _padding(self, size: int, axis: int) -> tuple[int, int]:
        total = self.kernel_size[axis] - 1 - (size - 1) % self.stride[axis]
        return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; with a skip connection if the shapes agree."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out_channels: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expands = expansion != 1
        self.skips = stride == 1 and channels == out_channels
        if self.expands:
            self._expand_conv = SamePadConv2d(channels, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=_BATCH_NORM_EPSILON)
        self._depthwise_conv = SamePadConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=_BATCH_NORM_EPSILON)
        self._project_conv = SamePadConv2d(hidden, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=_BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """Lite0 up to the last layer of stride 16: (B, 3, H, W) -> (B, 112, ceil(H / 16), ceil(W / 16))."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SamePadConv2d(3, _STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM_CHANNELS, eps=_BATCH_NORM_EPSILON)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for count, kernel, stride, expansion, out in _STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(channels, kernel, stride if i == 0 else 1, expansion, out))
                channels = out
        self._blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self._blocks(functional.relu6(self._bn0(self._conv_stem(x))))
