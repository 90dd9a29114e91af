"""Queries that attend: shapes, and attention against its definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.boq import BoQ, _Layer


def test_gives_unit_vectors_of_width_times_rows() -> None:
    layer = BoQ(10, width=64, queries=3, layers=2, rows=4).eval()
    with torch.inference_mode():
        found = layer(torch.randn(2, 10, 5, 6))
    assert found.shape == (2, 64 * 4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_answer_is_attention_of_the_queries_to_the_encoded_map() -> None:
    layer = _Layer(width=64, queries=3).double().eval()
    x = torch.randn(1, 12, 64, dtype=torch.float64)
    with torch.inference_mode():
        encoded, answer = layer(x)
        queries = layer.norm_q(layer.queries + _attention(layer.self_attn, layer.queries, layer.queries))
        expected = layer.norm_out(_attention(layer.cross_attn, queries, encoded))
    np.testing.assert_allclose(answer.numpy(), expected.numpy(), atol=1e-9)


def _attention(layer: torch.nn.MultiheadAttention, queries: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Of one head, as 64 channels have."""
    q, k, v = (
        inputs @ weight.T + bias
        for inputs, weight, bias in zip(
            (queries, x, x), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True
        )
    )
    weights = (q @ k.transpose(1, 2) / 64**0.5).softmax(dim=2)
    return layer.out_proj(weights @ v)


@pytest.mark.parametrize(("width", "layers"), [(64, 60_000), (10, 1), (100, 1)])
def test_a_description_cannot_ask_for_what_no_boq_has(width: int, layers: int) -> None:
    with pytest.raises(CheckpointError, match="at most 16 layers and a multiple of 64 channels"):
        BoQ(10, width=width, queries=1, layers=layers, rows=1)
