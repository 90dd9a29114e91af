"""Hard VLAD against a loop over local descriptors."""

from __future__ import annotations

import numpy as np
import torch

from netvlad_core.model.hard_vlad import HardVLAD


def test_is_the_sum_of_residuals_to_the_nearest_centroid() -> None:
    layer = HardVLAD(3, 5)
    layer.initialize(torch.randn(3, 5), torch.empty(0, 5))
    features = torch.randn(2, 5, 4, 6)
    centroids = layer.centroids.detach().double().numpy()
    directions = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    found = layer(features).detach().numpy()
    for image, row in zip(features.double().numpy(), found, strict=True):
        sums = np.zeros((3, 5))
        for x in image.reshape(5, -1).T:
            x = x / np.linalg.norm(x)
            nearest = int(np.argmax(directions @ x))
            sums[nearest] += x - centroids[nearest]
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose(row, sums.ravel() / np.linalg.norm(sums), atol=1e-6)
