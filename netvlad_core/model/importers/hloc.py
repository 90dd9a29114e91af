"""The MATLAB structures of hloc: VGG16 with NetVLAD and whitening, as the paper's authors published it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
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
LICENCE = "MIT (the authors' own)"
_LONGEST_SIDE = 1024
_MOST_COMPRESSION = 8  # trained weights are noise, which hardly compresses
_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_CHANNELS = 512
# Name of a tensor in a `PlaceNetwork`: layer and number of the weight in the file, and how it becomes ours.
# Convolutions are (height, width, in, out) in MATLAB. Layer 30 holds the assignment (D, K) and MINUS the
# centroids (D, K); layer 33 the whitening (D K, P), its rows counting the clusters fastest.
_TENSORS: dict[str, tuple[int, int, Callable[[Tensor], Tensor]]] = {
    **{f"backbone.{n}.weight": (n, 0, lambda t: t.permute(3, 2, 0, 1)) for n in _CONVOLUTIONS},
    **{f"backbone.{n}.bias": (n, 1, Tensor.contiguous) for n in _CONVOLUTIONS},
    "netvlad.assignment.weight": (30, 0, lambda t: t.t()[:, :, None, None]),
    "netvlad.centroids": (30, 1, lambda t: -t.t()),
    "whitening.projection.weight": (
        33,
        0,
        lambda t: t.unflatten(0, (_CHANNELS, -1)).permute(2, 1, 0).flatten(1),
    ),
    "whitening.projection.bias": (33, 1, Tensor.contiguous),
}


def take(path: Path) -> Parts:
    """Read the file, without what is missing; raises CheckpointError if it is damaged or has no network."""
    variables = read_mat_file(
        path, CheckpointError, _MOST_COMPRESSION, struct_as_record=False, squeeze_me=True
    )
    net: Any = variables.get("net")
    try:
        mean = np.asarray(net.meta.normalization.averageImage, np.float64).reshape(-1, 3)[0]
        red, green, blue = mean.tolist()
        preprocessing = Preprocessing("limit", (_LONGEST_SIDE,), (red, green, blue), (1.0,) * 3, "area")
    except (AttributeError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is a MATLAB file without net.meta.normalization.averageImage: no network of {NAME}"
        ) from error
    layers = np.atleast_1d(getattr(net, "layers", np.empty(0, object)))
    tensors, names = {}, {}
    for key, (layer, number, convert) in _TENSORS.items():
        names[key] = f"net.layers{{{layer + 1}}}.weights{{{number + 1}}}"  # as MATLAB counts
        # What is missing, or of a shape that cannot be converted, is named by `Parts.assemble`.
        with suppress(IndexError, AttributeError, TypeError, ValueError, RuntimeError):
            tensors[key] = torch.from_numpy(np.array(layers[layer].weights[number], np.float32))
            tensors[key] = convert(tensors[key])
    centroids = tensors.get("netvlad.centroids")
    options = {"clusters": len(centroids)} if centroids is not None and centroids.ndim == 2 else {}
    return Parts("vgg16", preprocessing, tensors, names, options=options)
