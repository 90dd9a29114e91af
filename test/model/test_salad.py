"""SALAD against Sinkhorn's algorithm in float64, without logarithms."""

from __future__ import annotations

import numpy as np
import torch

from netvlad_core.model.salad import SALAD


def _unit(x: np.ndarray, axis: int) -> np.ndarray:
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def test_descriptors_are_those_of_the_transport_in_float64() -> None:
    layer = SALAD(12, clusters=4, cluster_dimension=5, token_dimension=6)
    layer.dustbin.data.fill_(0.3)
    grid, token = torch.randn(2, 12, 5, 7), torch.randn(2, 12)
    found = layer((grid, token)).detach().numpy()
    exact = layer.double()
    local = exact.local(grid.double()).flatten(2).detach().numpy()
    scores = exact.scores(grid.double()).flatten(2).detach().numpy()
    tokens = exact.token(token.double()).detach().numpy()
    count = scores.shape[2]
    for image in range(2):
        shares = np.exp(np.vstack([scores[image], np.full((1, count), 0.3)]))
        rows = np.array([1.0] * 4 + [count - 4])
        for _ in range(3):
            shares *= (rows / shares.sum(axis=1))[:, None]
            shares /= shares.sum(axis=0)
        clusters = _unit(np.einsum("ln,kn->lk", local[image], shares[:-1]), axis=0)
        expected = _unit(np.concatenate([_unit(tokens[image], 0), clusters.ravel()]), 0)
        np.testing.assert_allclose(found[image], expected, atol=1e-5)


def test_each_local_descriptor_is_shared_out_whole() -> None:
    layer = SALAD(8, clusters=3, cluster_dimension=2, token_dimension=2)
    shares = layer._transport(torch.randn(2, 3, 20))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 20))
