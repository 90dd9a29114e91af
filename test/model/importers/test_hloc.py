"""The MATLAB file that hloc takes gives the descriptors of the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.model.importers import import_weights
from netvlad_core.model.preprocessing import Preprocessing
from support import foreign_weights as foreign
from support import reference

_IMAGENET = ((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
_OPENIBL = tuple(255 * mean for mean in (0.48501960784313836, 0.4579568627450961, 0.4076039215686255))
_KEEP = Preprocessing("keep", (), *_IMAGENET)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_descriptor_of_the_matlab_file(is_compressed: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    weights = foreign.vgg16_weights(random)
    assignment, centroids = foreign.layer_weights(random, 64, 512)
    projection, offset = foreign.whitening_weights(random, 64 * 512, 32)
    path = tmp_path / "Pitts30K_struct.mat"
    foreign.write_hloc(path, weights, assignment, centroids, projection, offset, do_compression=is_compressed)
    x = foreign.preprocessed_image(random) * 60
    vlad = reference.netvlad(reference.vgg16(x, weights), assignment, None, centroids)
    expected = reference.unit(projection.astype(np.float32) @ vlad.T.ravel() + offset)

    network, project = import_weights(path)
    assert "hloc" in project
    foreign.agree(
        network.spec.preprocessing,
        Preprocessing("limit", (1024,), foreign.MEAN, (1.0, 1.0, 1.0), filter="area"),
    )
    assert np.abs(foreign.descriptor(network, x) - expected).max() < 1e-5


def test_cropping_keeps_the_first_entries(tmp_path: Path) -> None:
    """4096 -> 512 -> 128 is the same as 4096 -> 128, and its products those of the cropped reference."""
    random = np.random.default_rng(7)
    weights = foreign.alexnet_weights(random)
    assignment, centroids = foreign.layer_weights(random, 32, 256)
    projection, offset = foreign.whitening_weights(random, 32 * 256, 4096)
    state = foreign.tensors(weights, "encoder.")
    state |= foreign.tensors({"centroids": centroids, "conv.weight": assignment[:, :, None, None]}, "pool.")
    state |= foreign.tensors({"weight": projection[:, :, None, None], "bias": offset}, "WPCA.0.")
    torch.save({"num_pcs": 4096, "state_dict": state}, tmp_path / "weights")
    network, _ = import_weights(tmp_path / "weights")
    images = [foreign.preprocessed_image(random) for _ in range(3)]
    vlads = [
        reference.netvlad(reference.alexnet(x, weights), assignment, None, centroids).ravel() for x in images
    ]
    for cropped, dimension in ((network.crop(512), 512), (network.crop(512).crop(128), 128)):
        expected = np.stack([reference.unit((projection @ vlad + offset)[:dimension]) for vlad in vlads])
        found = np.stack([foreign.descriptor(cropped, x) for x in images])
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-5)
