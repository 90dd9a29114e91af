"""Learned queries that attend to an image's local descriptors (BoQ).

Ali-bey, Chaib-draa and Giguere, "BoQ: a place is worth a bag of learnable queries", CVPR 2024, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import CheckpointError

_CHANNELS_OF_HEAD = 64
_WIDER = 4  # of the perceptron in an encoder
_MOST_LAYERS = 16


class BoQ(nn.Module):
    """Feature maps (B, D, h, w) -> (B, C * R), L2-normalised.

    Parameters
    ----------
    channels : D.
    width : C, channels that the map is reduced to, a multiple of 64.
    queries : learned queries of each layer.
    layers : an encoder of the local descriptors and its queries each.
    rows : R, mixtures of all queries' answers.

    Raises CheckpointError if it has too many layers, or channels that its heads cannot share.
    """

    def __init__(self, channels: int, width: int, queries: int, layers: int, rows: int) -> None:
        super().__init__()
        if layers > _MOST_LAYERS or width % _CHANNELS_OF_HEAD:
            raise CheckpointError(
                f"BoQ has at most {_MOST_LAYERS} layers and a multiple of {_CHANNELS_OF_HEAD} channels; "
                f"found {layers} and {width}"
            )
        self.reduction = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, queries) for _ in range(layers))
        self.mixture = nn.Linear(layers * queries, rows)

    def forward(self, features: Tensor) -> Tensor:
        x = self.norm(self.reduction(features).flatten(2).transpose(1, 2))
        answers = []
        for layer in self.layers:
            x, answer = layer(x)
            answers.append(answer)
        mixed = self.mixture(torch.cat(answers, dim=1).transpose(1, 2))
        return functional.normalize(mixed.flatten(1), dim=1)


class _Layer(nn.Module):
    """Local descriptors (B, n, C) -> the same encoded, and the queries' answers (B, Q, C)."""

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        heads = width // _CHANNELS_OF_HEAD
        self.encoder = nn.TransformerEncoderLayer(width, heads, _WIDER * width, dropout=0.0, batch_first=True)
        self.queries = nn.Parameter(torch.randn(1, queries, width))
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_q = nn.LayerNorm(width)
        self.cross_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.encoder(x)
        asked = self.self_attn(self.queries, self.queries, self.queries, need_weights=False)[0]
        queries = self.norm_q(self.queries + asked).expand(x.shape[0], -1, -1)
        return x, self.norm_out(self.cross_attn(queries, x, x, need_weights=False)[0])
