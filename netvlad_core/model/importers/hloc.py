"""The MATLAB structures of hloc: VGG16 with NetVLAD and whitening, as the paper's authors published it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netvlad_core.data.mat_file import read_mat_file
from netvlad_core.errors import CheckpointError
from netvlad_core.model.importers.parts import Parts
from netvlad_core.model.preprocessing import Preprocessing

NAME = "hloc's export of the authors' MATLAB network"
_LONGEST_SIDE = 1024
_MOST_COMPRESSION = 8  # trained weights are noise, which hardly compresses
_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_NETVLAD, _WHITENING = 30, 33


def take(path: Path) -> Parts:
    """Read the file; what is missing is left out.

    Layer 30 holds the assignment (D, K) and MINUS the centroids (D, K); layer 33 the whitening (D K, P), its
    rows counting the clusters fastest.

    Raises
    ------
    CheckpointError
        If it is no MATLAB file, damaged, or has no network in it.
    """
    variables = read_mat_file(
        path, CheckpointError, _MOST_COMPRESSION, struct_as_record=False, squeeze_me=True
    )
    net: Any = variables.get("net")
    layers = np.atleast_1d(getattr(net, "layers", np.empty(0, object)))
    try:
        mean = np.asarray(net.meta.normalization.averageImage, np.float64).reshape(-1, 3)[0]
        red, green, blue = mean.tolist()
        preprocessing = Preprocessing(
            "limit", (_LONGEST_SIDE,), (red, green, blue), (1.0, 1.0, 1.0), filter="area"
        )
    except (AttributeError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is a MATLAB file without net.meta.normalization.averageImage: no network of {NAME}"
        ) from error
    tensors, names = {}, {}
    for key, name, value in _entries(layers):
        names[key] = name
        if value is not None:
            tensors[key] = value
    return Parts("vgg16", preprocessing, tensors, names)


def _entries(layers: np.ndarray) -> Iterator[tuple[str, str, Tensor | None]]:
    """Our name, the file's name and the tensor of each, or None if it is missing."""
    for index in _CONVOLUTIONS:
        weight = _weight(layers, index, 0)
        if weight is not None and weight.ndim == 4:
            weight = weight.permute(3, 2, 0, 1)  # MATLAB: height, width, in, out
        yield f"backbone.{index}.weight", _name(index, 0), weight
        yield f"backbone.{index}.bias", _name(index, 1), _weight(layers, index, 1)
    assignment, centroids = (_weight(layers, _NETVLAD, number) for number in (0, 1))
    if assignment is not None and assignment.ndim == 2:
        assignment = assignment.T[:, :, None, None]
    if centroids is not None and centroids.ndim == 2:
        centroids = -centroids.T
    yield "netvlad.assignment.weight", _name(_NETVLAD, 0), assignment
    yield "netvlad.centroids", _name(_NETVLAD, 1), centroids
    projection = _weight(layers, _WHITENING, 0)
    if projection is not None and centroids is not None and projection.shape[0] == centroids.numel():
        projection = projection.reshape(*centroids.T.shape, -1).permute(2, 1, 0).flatten(1)
    yield "whitening.projection.weight", _name(_WHITENING, 0), projection
    yield "whitening.projection.bias", _name(_WHITENING, 1), _weight(layers, _WHITENING, 1)


def _name(layer: int, weight: int) -> str:
    return f"net.layers{{{layer + 1}}}.weights{{{weight + 1}}}"  # as MATLAB counts


def _weight(layers: np.ndarray, layer: int, weight: int) -> Tensor | None:
    """A weight without the axes of length one that MATLAB puts around it, or None if there is none."""
    try:
        return torch.from_numpy(np.array(layers[layer].weights[weight], np.float32))
    except (IndexError, AttributeError, TypeError, ValueError):
        return None
