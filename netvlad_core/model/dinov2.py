"""DINOv2's vision transformers with patches of 14 pixels, as a backbone.

Oquab et al., "DINOv2: Learning robust visual features without supervision", TMLR 2024. Parameters have the
names of the published checkpoints; registers and masks are not used.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_PATCH = 14
_BLOCKS = 12
# The published position embeddings are for 518 x 518 pixels.
_GRID = 37
_MLP_RATIO = 4
_LAYER_NORM_EPSILON = 1e-6
# The published code scales the position embeddings by (cells + this) / 37, at any size but their own.
_CELL_OFFSET = 0.1
# Of the cubic convolution kernel (Keys, 1981); the value of torch and of OpenCV.
_CUBIC = -0.75


class DinoV2(nn.Module):
    """Images (B, 3, H, W) -> patch tokens (B, D, H // 14, W // 14) after the last normalisation, or before.

    Images whose sides are no multiples of 14 are cropped about their centre.

    Parameters
    ----------
    channels, heads, blocks : D and the rest of the size: 384, 6, 12 of ViT-S, 768, 12, 12 of ViT-B, 1024, 16,
        24 of ViT-L and 1536, 24, 40 of ViT-g.
    has_token : whether the classification token (B, D) comes with the patch tokens.
    is_normalized : whether the last normalisation is applied.
    has_gates : whether the perceptrons are gated (SwiGLU), those of ViT-g.
    gives_values : whether the patches have the values of the last block's attention instead of its tokens.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        blocks: int = _BLOCKS,
        has_token: bool = False,
        is_normalized: bool = True,
        has_gates: bool = False,
        gives_values: bool = False,
    ) -> None:
        super().__init__()
        self._has_token = has_token
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + _GRID**2, channels))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, channels, _PATCH, _PATCH)})
        whole = blocks - gives_values
        self.blocks = nn.Sequential(*(_Block(channels, heads, has_gates) for _ in range(whole)))
        if gives_values:
            self.blocks.append(_Values(channels))
        is_normalized = is_normalized and not gives_values
        self.norm = nn.LayerNorm(channels, _LAYER_NORM_EPSILON) if is_normalized else nn.Identity()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        rows, columns = images.shape[2] // _PATCH, images.shape[3] // _PATCH
        top, left = (_half(side % _PATCH) for side in images.shape[2:])
        cropped = images[:, :, top : top + rows * _PATCH, left : left + columns * _PATCH]
        patches = self.patch_embed["proj"](cropped).flatten(2).transpose(1, 2)
        patches = patches + self._positions(rows, columns).to(patches.dtype)
        cls_token = (self.cls_token + self.pos_embed[:, :1]).to(patches.dtype).expand(images.shape[0], -1, -1)
        tokens = self.norm(self.blocks(torch.cat([cls_token, patches], dim=1)))
        grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
        return (grid, tokens[:, 0]) if self._has_token else grid

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings of the patches, (rows * columns, D), bicubically scaled."""
        grid = self.pos_embed[0, 1:].float().unflatten(0, (_GRID, _GRID))
        # Without a branch on the size, which would not survive an export.
        offset = _CELL_OFFSET * torch.sym_min(1, (rows - _GRID) ** 2 + (columns - _GRID) ** 2)
        down, across = (_cubic_weights(cells, offset, grid) for cells in (rows, columns))
        return torch.einsum("ri,cj,ijd->rcd", down, across, grid).flatten(0, 1)


def _half(pixels: int) -> int:
    """Half of the pixels to crop; that of an odd number is rounded to an even one, as in torchvision."""
    return pixels // 2 + pixels % 4 // 3


def _cubic_weights(cells: int, offset: float, like: Tensor) -> Tensor:
    """Weights (cells, 37) of bicubic interpolation along one axis; a product with them exports."""
    positions = torch.arange(cells, dtype=like.dtype, device=like.device)
    source = (positions + 0.5) * (_GRID / (cells + offset)) - 0.5
    first = source.floor()
    taps = first[:, None] + torch.arange(-1, 3, dtype=like.dtype, device=like.device)
    distance = (source[:, None] - taps).abs()
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _CUBIC - 4 * _CUBIC
    weights = torch.where(distance <= 1, near, far)
    grid = torch.arange(_GRID, dtype=like.dtype, device=like.device)
    is_tap = taps.clamp(0, _GRID - 1)[:, :, None] == grid
    return (weights[:, :, None] * is_tap).sum(dim=1)


class _Block(nn.Module):
    """Attention, then a perceptron, each normalised before and scaled by channel after."""

    def __init__(self, channels: int, heads: int, has_gates: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, _LAYER_NORM_EPSILON)
        self.attn = _Attention(channels, heads)
        self.ls1 = nn.ParameterDict({"gamma": torch.ones(channels)})
        self.norm2 = nn.LayerNorm(channels, _LAYER_NORM_EPSILON)
        self.mlp: nn.Module = _Gated(channels) if has_gates else _perceptron(channels)
        self.ls2 = nn.ParameterDict({"gamma": torch.ones(channels)})

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens)) * self.ls1["gamma"]
        return tokens + self.mlp(self.norm2(tokens)) * self.ls2["gamma"]


class _Values(nn.Module):
    """The values (B, n, D) that a block's attention would weigh."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, _LAYER_NORM_EPSILON)
        # Queries and keys are not used, but stand in one tensor with the values.
        self.attn = nn.ModuleDict({"qkv": nn.Linear(channels, 3 * channels)})

    def forward(self, tokens: Tensor) -> Tensor:
        qkv: Any = self.attn["qkv"]
        rows = slice(-tokens.shape[2], None)
        return functional.linear(self.norm1(tokens), qkv.weight[rows], qkv.bias[rows])


def _perceptron(channels: int) -> nn.Module:
    wide = _MLP_RATIO * channels
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(channels, wide), gelu=nn.GELU(), fc2=nn.Linear(wide, channels))
    )


class _Gated(nn.Module):
    """A perceptron whose hidden units are gated (Shazeer, 2020), with as many weights as the plain one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = (_MLP_RATIO * channels * 2 // 3 + 7) // 8 * 8
        self.w12 = nn.Linear(channels, 2 * wide)
        self.w3 = nn.Linear(wide, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        gates, values = self.w12(tokens).chunk(2, dim=-1)
        return self.w3(functional.silu(gates) * values)


class _Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))
