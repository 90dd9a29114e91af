"""Perceptrons that mix all cells of a feature map, channel by channel (MixVPR).

Ali-bey, Chaib-draa and Giguere, "MixVPR: feature mixing for visual place recognition", WACV 2023, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from netvlad_core.errors import CheckpointError

_MOST_MIXERS = 64


class MixVPR(nn.Module):
    """Feature maps (B, D, h, w) of h * w = P cells -> (B, C * R), L2-normalised.

    Parameters
    ----------
    channels : D.
    cells : P; the layers have weights for each cell, so that only images of one size can be described.
    mixers, hidden : perceptrons one after the other, and the hidden units of each.
    width, rows : C and R, to which channels and cells are reduced.

    Raises CheckpointError if it has too many mixers.
    """

    def __init__(self, channels: int, cells: int, mixers: int, hidden: int, width: int, rows: int) -> None:
        super().__init__()
        if mixers > _MOST_MIXERS:
            raise CheckpointError(f"MixVPR has at most {_MOST_MIXERS} mixers; found {mixers}")
        self.mixers = nn.Sequential(*(_Mixer(cells, hidden) for _ in range(mixers)))
        self.by_channel = nn.Linear(channels, width)
        self.by_cell = nn.Linear(cells, rows)

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.mixers(features.flatten(2))
        reduced = self.by_cell(self.by_channel(mixed.transpose(1, 2)).transpose(1, 2))
        return functional.normalize(reduced.flatten(1), dim=1)


class _Mixer(nn.Module):
    """Cells (B, D, P) -> the same with what a perceptron makes of all cells of a channel added."""

    def __init__(self, cells: int, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.LayerNorm(cells), nn.Linear(cells, hidden), nn.ReLU(), nn.Linear(hidden, cells)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(x)
