"""DINOv2 block by block in float64: attention, both kinds of perceptron, and the values of a block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf

from netvlad_core.model.dinov2 import DinoV2

_CHANNELS, _HEADS = 8, 2
Weights = dict[str, np.ndarray]


def _random(**options: bool) -> tuple[DinoV2, Weights]:
    network = DinoV2(_CHANNELS, _HEADS, 2, **options).eval()
    for tensor in network.parameters():
        tensor.data.normal_(std=0.5)
    return network, {key: value.double().numpy() for key, value in network.state_dict().items()}


def _norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6)
    return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _tokens(image: np.ndarray, weights: Weights) -> np.ndarray:
    """Tokens before the first block, of an image of 518 pixels a side, whose positions are as stored."""
    cells = image.reshape(3, 37, 14, 37, 14).transpose(1, 3, 0, 2, 4).reshape(37 * 37, -1)
    kernel = weights["patch_embed.proj.weight"].reshape(_CHANNELS, -1)
    patches = cells @ kernel.T + weights["patch_embed.proj.bias"]
    return np.vstack([weights["cls_token"][0], patches]) + weights["pos_embed"][0]


def _block(x: np.ndarray, weights: Weights, name: str, has_gates: bool) -> np.ndarray:
    qkv = _linear(_norm(x, weights, f"{name}.norm1"), weights, f"{name}.attn.qkv")
    query, key, value = (part.reshape(len(x), _HEADS, -1) for part in np.split(qkv, 3, axis=1))
    heads = []
    for head in range(_HEADS):
        scores = query[:, head] @ key[:, head].T / np.sqrt(_CHANNELS / _HEADS)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, head])
    x = x + _linear(np.hstack(heads), weights, f"{name}.attn.proj") * weights[f"{name}.ls1.gamma"]
    hidden = _norm(x, weights, f"{name}.norm2")
    if has_gates:
        gates, passed = np.split(_linear(hidden, weights, f"{name}.mlp.w12"), 2, axis=1)
        out = _linear(gates / (1 + np.exp(-gates)) * passed, weights, f"{name}.mlp.w3")
    else:
        wide = _linear(hidden, weights, f"{name}.mlp.fc1")
        out = _linear(wide * (1 + erf(wide / np.sqrt(2))) / 2, weights, f"{name}.mlp.fc2")
    return x + out * weights[f"{name}.ls2.gamma"]


@pytest.mark.parametrize("has_gates", [False, True])
def test_tokens_are_those_of_the_formulas(has_gates: bool) -> None:
    network, weights = _random(has_gates=has_gates, has_token=True)
    image = torch.randn(1, 3, 518, 518)
    with torch.inference_mode():
        grid, token = network(image)
    x = _tokens(image[0].double().numpy(), weights)
    for n in (0, 1):
        x = _block(x, weights, f"blocks.{n}", has_gates)
    x = _norm(x, weights, "norm")
    np.testing.assert_allclose(token[0], x[0], atol=2e-5)
    np.testing.assert_allclose(grid[0].flatten(1).T, x[1:], atol=2e-5)


def test_values_are_those_of_the_last_block() -> None:
    network, weights = _random(gives_values=True)
    image = torch.randn(1, 3, 518, 518)
    with torch.inference_mode():
        grid = network(image)
    x = _block(_tokens(image[0].double().numpy(), weights), weights, "blocks.0", False)
    qkv = _linear(_norm(x, weights, "blocks.1.norm1"), weights, "blocks.1.attn.qkv")
    np.testing.assert_allclose(grid[0].flatten(1).T, qkv[1:, -_CHANNELS:], atol=2e-5)


@pytest.mark.parametrize(("side", "first"), [(28, 0), (29, 0), (30, 1), (31, 2), (33, 2), (41, 6)])
def test_other_sizes_are_cropped_about_the_centre(side: int, first: int) -> None:
    network, _ = _random()
    image = torch.randn(1, 3, side, 42)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image[:, :, first : first + 28]))
