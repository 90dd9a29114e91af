"""Clusters and whitening, fitted on a few images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from netvlad_core.errors import SourceError
from netvlad_core.model.checkpoints import IMAGENET
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import SampleImages, cluster, fit_network, sample_local_descriptors
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from support.street import street, view


def views(count: int) -> SampleImages:
    fronts = street(seed=3, metres=60)

    def images() -> Iterator[np.ndarray]:
        return (view(fronts, 10 * index) for index in range(count))

    return images


def fit(count: int = 3, whitened_dimension: int | None = None, seed: int = 0) -> PlaceNetwork:
    spec = NetworkSpec.of_backbone(clusters=4, whitened_dimension=whitened_dimension)
    return fit_network(views(count), spec, IMAGENET, seed, "cpu")


def test_one_seed_gives_one_network() -> None:
    first = fit()
    assert fit().fingerprint() == first.fingerprint() != fit(seed=1).fingerprint()
    assert not first.training


def test_centroids_are_those_of_the_images() -> None:
    network = fit()
    samples = sample_local_descriptors(network, views(3)(), 0, torch.device("cpu"))
    spread = samples.var(dim=0).sum()
    centroids = network.netvlad.centroids.detach()
    left = torch.cdist(samples, centroids).min(dim=1).values.square().mean()
    assert left < 0.9 * spread, "four clusters explain some of the spread"
    assert torch.cdist(samples, centroids).argmin(dim=1).unique().numel() == 4


def test_samples_are_a_hundred_unit_vectors_an_image() -> None:
    samples = sample_local_descriptors(fit(), views(3)(), 0, torch.device("cpu"))
    assert samples.shape == (300, 112)
    torch.testing.assert_close(samples.norm(dim=1), torch.ones(300))
    assert samples.unique(dim=0).shape == samples.shape, "no cell is taken twice"


def test_k_means_finds_separate_blobs() -> None:
    random = np.random.default_rng(0)
    centres = 10 * random.normal(size=(5, 8))
    blobs = centres[random.integers(0, 5, 300)] + 0.01 * random.normal(size=(300, 8))
    found = cluster(torch.from_numpy(blobs.astype(np.float32)), 5, seed=0).numpy()
    distances = np.linalg.norm(centres[:, None] - found[None], axis=2)
    assert distances.min(axis=1).max() < 0.01


def test_whitened_network_gives_the_wanted_dimension() -> None:
    network = fit(6, whitened_dimension=5)
    descriptors = Extractor.of(network, "cpu")(list(views(6)()))
    assert descriptors.shape == (6, 5)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    off_diagonal = ~np.eye(6, dtype=bool)
    # Five directions hold all that distinguishes six images: they become equally far from each other.
    np.testing.assert_allclose((descriptors @ descriptors.T)[off_diagonal], -0.2, atol=0.07)


def test_too_few_images_for_the_whitening() -> None:
    with pytest.raises(SourceError, match=r"whitening to 5 dimensions .* there are 3 images"):
        fit(3, whitened_dimension=5)


def test_too_few_images_for_the_clusters() -> None:
    with pytest.raises(SourceError, match="100 local descriptors are too few for 100 clusters"):
        fit_network(views(1), NetworkSpec.of_backbone(clusters=100), device="cpu")


def test_no_images() -> None:
    with pytest.raises(SourceError, match="no image"):
        fit(0)
