"""The layer against an independent float64 reference that builds the whole residual tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from netvlad_core.errors import SourceError
from netvlad_core.model.netvlad import NetVLAD


def reference(
    features: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    centroids: np.ndarray,
    intra_normalization: bool = True,
) -> np.ndarray:
    """Equation 4 of the paper, one residual at a time: (B, D, H, W) -> (B, K * D)."""
    x = features.reshape(*features.shape[:2], -1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    logits = np.einsum("kd,bdn->bkn", weight, x)
    if bias is not None:
        logits += bias[None, :, None]
    assignment = softmax(logits, axis=1)
    residuals = x[:, None] - centroids[None, :, :, None]
    vlad = (assignment[:, :, None] * residuals).sum(axis=3)
    if intra_normalization:
        vlad /= np.linalg.norm(vlad, axis=2, keepdims=True)
    vlad = vlad.reshape(len(vlad), -1)
    return vlad / np.linalg.norm(vlad, axis=1, keepdims=True)


def clustered_samples(
    seed: int = 0, clusters: int = 6, channels: int = 16
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centroids (K, D) of unequal length and L2-normalised samples (N, D) around their directions."""
    random = np.random.default_rng(seed)
    centroids = random.normal(size=(clusters, channels))
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    samples = centroids[random.integers(0, clusters, 500)] + 0.15 * random.normal(size=(500, channels))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    centroids *= random.uniform(0.5, 0.9, (clusters, 1))
    return torch.from_numpy(centroids), torch.from_numpy(samples)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("intra_normalization", [False, True])
def test_layer_equals_the_residual_sum(with_bias: bool, intra_normalization: bool) -> None:
    torch.manual_seed(0)
    layer = NetVLAD(5, 12, with_bias, intra_normalization).double()
    features = torch.randn(3, 12, 4, 7, dtype=torch.float64)
    bias = layer.assignment.bias
    expected = reference(
        features.numpy(),
        layer.assignment.weight.detach().numpy()[:, :, 0, 0],
        None if bias is None else bias.detach().numpy(),
        layer.centroids.detach().numpy(),
        intra_normalization,
    )
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, atol=1e-12)


def test_intra_normalisation_gives_every_cluster_the_same_length() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 12, 4, 4)
    layer = NetVLAD(5, 12)
    lengths = layer(features).unflatten(1, (5, 12)).norm(dim=2)
    torch.testing.assert_close(lengths, torch.full((2, 5), 5**-0.5))
    layer.intra_normalization = False
    unequal = layer(features)
    assert unequal.unflatten(1, (5, 12)).norm(dim=2).std(dim=1).min() > 0.01
    torch.testing.assert_close(unequal.norm(dim=1), torch.ones(2))


def test_scale_of_the_features_does_not_matter() -> None:
    torch.manual_seed(0)
    layer, features = NetVLAD(3, 8), torch.randn(1, 8, 3, 3)
    torch.testing.assert_close(layer(features), layer(100 * features))


def test_dead_feature_map_gives_finite_descriptor_and_gradient() -> None:
    features = torch.zeros(1, 8, 2, 2, requires_grad=True)
    descriptor = NetVLAD(3, 8)(features)
    assert descriptor.isfinite().all()
    descriptor[0, 0].backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients(with_bias: bool) -> None:
    torch.manual_seed(0)
    layer = NetVLAD(3, 4, with_bias).double()
    names, parameters = zip(*layer.named_parameters())

    def run(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values)), features)

    features = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (features, *parameters))


@pytest.mark.parametrize("with_bias", [False, True])
def test_first_assignment_is_a_hundred_times_the_second(with_bias: bool) -> None:
    centroids, samples = clustered_samples()
    layer = NetVLAD(len(centroids), centroids.shape[1], with_bias).double()
    layer.initialize(centroids, samples)
    logits = layer.assignment(samples[:, :, None, None]).flatten(1)
    first, second = logits.softmax(dim=1).topk(2, dim=1).values.T
    assert (first.log() - second.log()).mean().exp().item() == pytest.approx(100, rel=1e-9)
    assert torch.equal(layer.centroids, centroids)


@pytest.mark.parametrize("with_bias", [False, True])
def test_samples_without_clusters_are_refused(with_bias: bool) -> None:
    same = torch.nn.functional.normalize(torch.ones(10, 4), dim=1)
    with pytest.raises(SourceError, match="all alike"):
        NetVLAD(2, 4, with_bias).initialize(same[:2], same)


def test_v1_weights_are_directions_of_the_centroids() -> None:
    centroids, samples = (values.numpy() for values in clustered_samples())
    layer = NetVLAD(*centroids.shape).double()
    alpha = layer.initialize(torch.from_numpy(centroids), torch.from_numpy(samples))
    directions = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    products = np.sort(samples @ directions.T, axis=1)
    assert alpha == pytest.approx(-np.log(0.01) / np.mean(products[:, -1] - products[:, -2]))
    weight = layer.assignment.weight.detach().numpy()[:, :, 0, 0]
    np.testing.assert_allclose(weight, alpha * directions, rtol=1e-12)


def test_v2_assigns_by_squared_distance() -> None:
    centroids, samples = (values.numpy() for values in clustered_samples())
    layer = NetVLAD(*centroids.shape, with_bias=True).double()
    alpha = layer.initialize(torch.from_numpy(centroids), torch.from_numpy(samples))
    squared = ((samples[:, None] - centroids[None]) ** 2).sum(axis=2)
    nearest = np.sort(squared, axis=1)
    assert alpha == pytest.approx(-np.log(0.01) / np.mean(nearest[:, 1] - nearest[:, 0]))
    assignment = layer.assignment(torch.from_numpy(samples)[:, :, None, None]).flatten(1).softmax(dim=1)
    np.testing.assert_allclose(assignment.detach().numpy(), softmax(-alpha * squared, axis=1), atol=1e-9)
