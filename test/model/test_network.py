"""The network's description, name and fingerprint; its PCA whitening on data with known variances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from netvlad_core.errors import SourceError
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.network import PlaceNetwork, Whitening
from netvlad_core.model.spec import NetworkSpec

SPEC = NetworkSpec("efficientnet_lite0", BACKBONES["efficientnet_lite0"].preprocessing, clusters=4)


@pytest.fixture
def network() -> PlaceNetwork:
    torch.manual_seed(0)
    return PlaceNetwork(replace(SPEC, whitened_dimension=6)).eval()


def test_dimension_and_name_follow_the_description() -> None:
    assert (SPEC.dimension, SPEC.name) == (448, "efficientnet_lite0-netvlad4")
    whitened = replace(SPEC, whitened_dimension=6)
    assert (whitened.dimension, whitened.name) == (6, "efficientnet_lite0-netvlad4-white6")


@pytest.mark.parametrize("dimension", [None, 6])
def test_descriptors_have_the_stated_dimension_and_unit_length(dimension: int | None) -> None:
    spec = replace(SPEC, whitened_dimension=dimension)
    with torch.inference_mode():
        descriptors = PlaceNetwork(spec).eval()(torch.randn(2, 3, 64, 80))
    assert descriptors.shape == (2, spec.dimension)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2))


def test_fingerprint_names_the_network_and_is_stable(network: PlaceNetwork) -> None:
    name, _, digest = network.fingerprint().partition("@")
    assert name == "efficientnet_lite0-netvlad4-white6"
    assert len(digest) == 12
    copy = PlaceNetwork(network.spec)
    assert copy.fingerprint() != network.fingerprint(), "random weights differ"
    copy.load_state_dict(network.state_dict())
    assert copy.fingerprint() == network.fingerprint()
    copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert copy.fingerprint() == network.fingerprint()


def test_fingerprint_changes_with_every_tensor(network: PlaceNetwork) -> None:
    seen = {network.fingerprint()}
    weights = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for tensor in weights.values():
        tensor.view(-1)[-1] += 1e-3
        seen.add(network.fingerprint())
    assert len(seen) == 1 + len(weights) > 50


def test_fingerprint_ignores_bookkeeping_of_training(network: PlaceNetwork) -> None:
    before = network.fingerprint()
    network.state_dict()["backbone._bn0.num_batches_tracked"] += 1
    assert network.fingerprint() == before


@pytest.mark.parametrize(
    "change",
    [
        {"size": (241,)},
        {"resize": "limit"},
        {"mean": (127.0, 127.0, 126.9)},
        {"std": (128.0, 127.0, 128.0)},
    ],
)
def test_fingerprint_changes_with_the_preprocessing(network: PlaceNetwork, change: dict) -> None:
    before = network.fingerprint()
    network.spec = replace(network.spec, preprocessing=replace(network.spec.preprocessing, **change))
    assert network.fingerprint() != before


def test_fingerprint_changes_with_the_form_of_the_layer(network: PlaceNetwork) -> None:
    before = network.fingerprint()
    network.spec = replace(network.spec, intra_normalization=False)
    assert network.fingerprint() != before


VARIANCES = np.array([9.0, 4.0, 1.0, 0.25, 0.04])


@pytest.fixture
def descriptors() -> torch.Tensor:
    """Draw (400, 5) float64 with a mean and with unequal variances along rotated axes."""
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
    return torch.from_numpy(random.normal(size=(400, 5)) * np.sqrt(VARIANCES) @ rotation.T + [1, 2, 3, 4, 5])


def fit(descriptors: torch.Tensor, dimension: int, shrinkage: float = 0.0) -> Whitening:
    return Whitening.fit(descriptors, dimension, shrinkage)


def test_projection_has_identity_covariance(descriptors: torch.Tensor) -> None:
    projected = fit(descriptors, 4).projection(descriptors).detach().numpy()
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(projected.T), np.eye(4), atol=1e-6)


def test_descriptors_have_unit_length(descriptors: torch.Tensor) -> None:
    torch.testing.assert_close(fit(descriptors, 3)(descriptors).norm(dim=1), torch.ones(400).double())


def test_cropping_equals_fitting_fewer_dimensions(descriptors: torch.Tensor) -> None:
    cropped = functional.normalize(fit(descriptors, 5)(descriptors)[:, :2], dim=1)
    torch.testing.assert_close(cropped, fit(descriptors, 2)(descriptors))


def test_shrinkage_mixes_in_the_mean_variance(descriptors: torch.Tensor) -> None:
    variance = np.sort(np.linalg.eigvalsh(np.cov(descriptors.numpy().T)))[::-1]
    projected = fit(descriptors, 5, shrinkage=0.3).projection(descriptors).detach().numpy()
    expected = variance / (0.7 * variance + 0.3 * variance.mean())
    np.testing.assert_allclose(np.diag(np.cov(projected.T)), expected, rtol=1e-5)


def test_full_shrinkage_is_plain_pca(descriptors: torch.Tensor) -> None:
    centred = descriptors - descriptors.mean(dim=0)
    projected = fit(descriptors, 5, shrinkage=1.0).projection(descriptors)
    ratio = torch.cdist(projected, projected) / torch.cdist(centred, centred).clamp_min(1e-9)
    distinct = ratio[~torch.eye(400, dtype=torch.bool)]
    torch.testing.assert_close(distinct, distinct[0].expand_as(distinct), rtol=1e-5, atol=0)


def test_as_many_images_as_dimensions_are_too_few(descriptors: torch.Tensor) -> None:
    with pytest.raises(SourceError, match=r"to 4 dimensions needs more .* there are 4 images"):
        fit(descriptors[:4], 4)
    assert fit(descriptors[:5], 4)(descriptors).shape == (400, 4)


def test_more_dimensions_than_the_descriptor_has_are_refused(descriptors: torch.Tensor) -> None:
    with pytest.raises(SourceError, match="at most the descriptor's 5 dimensions"):
        fit(descriptors, 6)
