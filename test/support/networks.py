"""Networks of random weights that nevertheless tell images apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import cluster, sample_local_descriptors
from netvlad_core.model.network import PlaceNetwork, Whitening
from netvlad_core.model.spec import NetworkSpec


def random_network(
    backbone: str,
    images: Sequence[np.ndarray],
    whitened_dimension: int | None = None,
    clusters: int = 4,
    side: int = 96,
    with_bias: bool = False,
    intra_normalization: bool = True,
) -> PlaceNetwork:
    """Clusters, and whitening, are fitted on the images, whose shorter side becomes `side` pixels."""
    torch.manual_seed(0)
    preprocessing = replace(BACKBONES[backbone].preprocessing, size=(side,))
    spec = NetworkSpec(backbone, preprocessing, clusters, with_bias, intra_normalization)
    network = PlaceNetwork(spec).eval()
    samples = sample_local_descriptors(network, iter(images), seed=0, device=torch.device("cpu"))
    network.netvlad.initialize(cluster(samples, clusters, seed=0), samples)
    if whitened_dimension is None:
        return network
    # More than there are images: parts of images serve as well.
    descriptors = Extractor.of(network, "cpu")(
        [image[:, x : x + 64] for image in images for x in range(0, 96, 16)]
    )
    whitened = PlaceNetwork(replace(spec, whitened_dimension=whitened_dimension))
    whitened.backbone, whitened.netvlad = network.backbone, network.netvlad
    whitened.whitening = Whitening.fit(torch.from_numpy(descriptors), whitened_dimension, shrinkage=0.1)
    return whitened.eval()
