"""The generalised mean against its definition in float64."""

from __future__ import annotations

import numpy as np
import torch

from netvlad_core.model.gem import GeM


def test_is_the_root_of_the_mean_of_powers() -> None:
    features = torch.randn(2, 5, 3, 4)
    layer = GeM()
    layer.p.data.fill_(2.5)
    x = features.double().numpy()
    x = np.maximum(x / np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    expected = (x**2.5).mean(axis=(2, 3)) ** (1 / 2.5)
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, rtol=1e-5)


def test_of_one_power_it_is_the_mean_and_of_a_large_one_nearly_the_largest() -> None:
    features = torch.rand(1, 4, 6, 6) + 0.1
    unit = torch.nn.functional.normalize(features, dim=1)
    layer = GeM()
    layer.p.data.fill_(1.0)
    torch.testing.assert_close(layer(features), unit.mean(dim=(2, 3)))
    layer.p.data.fill_(200.0)
    torch.testing.assert_close(layer(features.double()), unit.amax(dim=(2, 3)).double(), rtol=0.03, atol=0)
