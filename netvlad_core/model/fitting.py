"""A useful network before anyone trains: clusters, and whitening if wanted, fitted on a drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.cluster.vq import kmeans2, vq
from torch import Tensor
from torch.nn import functional

from netvlad_core.errors import NetvladError, SourceError
from netvlad_core.model.aggregations import aggregation_named
from netvlad_core.model.checkpoints import load_pretrained
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.network import PlaceNetwork, Whitening
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_engine import find_device, preprocess

# The paper's sample for k-means: 100 local descriptors from each image.
_DESCRIPTORS_PER_IMAGE = 100
_KMEANS_ITERATIONS = 100
# One run of k-means moves Recall@1 by points from seed to seed; the tightest of several runs is steadier.
_KMEANS_RESTARTS = 3
# Whitening needs more images than dimensions and still over-fits; a little of the mean variance tames it.
_WHITENING_SHRINKAGE = 0.1

SampleImages = Callable[[], Iterator[np.ndarray]]


def fit_network(
    sample_images: SampleImages,
    spec: NetworkSpec | None = None,
    backbone_weights: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> PlaceNetwork:
    """Fit the aggregation's clusters, if it has some, and the whitening if the spec has one, on images.

    Parameters
    ----------
    sample_images : returns an iterator over uint8 RGB (H, W, 3); called once, and once more for whitening.
    spec : description of the network; default: `NetworkSpec.of_backbone()`.
    backbone_weights : as in `load_pretrained`.
    seed : seed of the sampling and of k-means.

    Raises
    ------
    SourceError
        If the images are too few for clusters or whitening, or all alike.
    NetvladError
        If the aggregation has to be trained.
    """
    spec = spec or NetworkSpec.of_backbone()
    network = PlaceNetwork(replace(spec, whitened_dimension=None))
    network.backbone = load_pretrained(spec.backbone, backbone_weights)
    if aggregation_named(spec.aggregation).has_clusters:
        samples = sample_local_descriptors(network, sample_images(), seed, find_device(device))
        if len(samples) <= spec.clusters:
            raise SourceError(
                f"{len(samples)} local descriptors are too few for {spec.clusters} clusters: give more images"
            )
        layer: Any = network.aggregation
        layer.initialize(cluster(samples, spec.clusters, seed), samples)
    elif aggregation_named(spec.aggregation).needs_training:
        raise NetvladError(f"{spec.aggregation} has to be trained: import weights, netvlad import-weights")
    if spec.whitened_dimension is None:
        return network.eval()
    descriptors = np.concatenate([*map(Extractor.of(network, device), sample_images())])
    whitened = PlaceNetwork(spec)
    whitened.backbone = network.backbone.cpu()
    setattr(whitened, spec.aggregation, network.aggregation.cpu())
    whitened.whitening = Whitening.fit(
        torch.from_numpy(descriptors), spec.whitened_dimension, _WHITENING_SHRINKAGE
    )
    return whitened.eval()


@torch.inference_mode()
def sample_local_descriptors(
    network: PlaceNetwork, images: Iterator[np.ndarray], seed: int, device: torch.device
) -> Tensor:
    """Random local descriptors of each image: (N, D) float32 on the CPU, L2-normalised."""
    generator = torch.Generator().manual_seed(seed)
    backbone = network.backbone.eval().to(device)
    samples = []
    for image in images:
        features = backbone(preprocess([image], network.spec.preprocessing, device))[0].flatten(1).T.cpu()
        chosen = torch.randperm(len(features), generator=generator)[:_DESCRIPTORS_PER_IMAGE]
        samples.append(functional.normalize(features[chosen].float(), dim=1))
    if not samples:
        raise SourceError("there is no image to fit the clusters on")
    return torch.cat(samples)


def cluster(samples: Tensor, clusters: int, seed: int) -> Tensor:
    """Centroids (K, D) float32 of the tightest of several k-means runs over samples (N, D)."""
    data = samples.numpy()
    best, best_distortion = None, np.inf
    for restart in range(_KMEANS_RESTARTS):
        generator = np.random.default_rng([seed, restart])
        centroids, _ = kmeans2(data, clusters, iter=_KMEANS_ITERATIONS, minit="++", seed=generator)
        distortion = float(np.mean(vq(data, centroids)[1] ** 2))
        if distortion < best_distortion:
            best, best_distortion = centroids, distortion
    assert best is not None
    return torch.from_numpy(best.astype(np.float32))
