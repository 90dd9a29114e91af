"""The token in which a vision transformer gathers the whole image, as the descriptor.

Keetha et al., "AnyLoc: towards universal visual place recognition", RA-L 2024, measure it as a baseline.
"""

from __future__ import annotations

from torch import Tensor, nn


class ClassToken(nn.Module):
    """Feature maps (B, D, h, w) and tokens of the images (B, D) -> the tokens."""

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        return features[1]
