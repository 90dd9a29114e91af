"""AnyLoc's cluster centres: the vocabulary of one domain, to go with DINOv2 as it was published.

`c_centers.pt` holds one tensor (K, D) of float, in the cache of its demo
(`vocabulary/dinov2_vitg14/l31_value_c32/urban/`) as in its release. D tells the size of DINOv2; the features
are the values of one block's attention.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import DINOV2, IMAGENET_MEAN, IMAGENET_STD
from netvlad_core.model.checkpoints import load_pretrained
from netvlad_core.model.importers.parts import Parts
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing

NAME = "AnyLoc's cluster centres"
LICENCE = "BSD-3-Clause (centres), Apache-2.0 (DINOv2)"
# Layer and facet in the names of files and folders.
_LAYER = re.compile(r"(?<![a-z])(l\d+_(?:query|key|value|token))_c\d+")
_PREPROCESSING = Preprocessing("limit", (1024,), IMAGENET_MEAN, IMAGENET_STD, "bicubic")


def fits(content: Any) -> bool:
    """Whether a file of torch holds nothing but a tensor."""
    return isinstance(content, Tensor)


def take(centroids: Tensor, path: Path, backbone_weights: Path | None) -> PlaceNetwork:
    """The network of centroids (K, D) and DINOv2's file.

    Raises
    ------
    CheckpointError
        If no DINOv2 has D channels, its file is not given or is another one, or the tensor is damaged.
    """
    sizes = {size.channels: name for name, size in DINOV2.items()}
    channels = centroids.shape[1] if centroids.ndim == 2 else 0
    if channels not in sizes or not len(centroids):
        known = ", ".join(map(str, sizes))
        raise CheckpointError(
            f"{path} holds one tensor {tuple(centroids.shape)}; {NAME} are (clusters, channels) with one of "
            f"{known} channels"
        )
    size = sizes[channels]
    if backbone_weights is None:
        raise CheckpointError(
            f"{path} holds {NAME} for {size}, whose weights are a file of its own: name it with "
            f"--backbone-weights (netvlad fetch-weights {size})"
        )
    stated, wanted = _LAYER.search(str(path)), f"l{DINOV2[size].of_values}_value"
    if stated and stated[1] != wanted:
        raise CheckpointError(
            f"{path} says that its centres are of {stated[1]}; of {size} only {wanted} is taken"
        )
    backbone = load_pretrained(f"{size}_value", backbone_weights)
    tensors = {f"backbone.{key}": tensor for key, tensor in backbone.state_dict().items()}
    tensors["hard_vlad.centroids"] = centroids
    options = {"aggregation": "hard_vlad", "clusters": len(centroids)}
    names = {"hard_vlad.centroids": "the tensor"}
    parts = Parts(f"{size}_value", _PREPROCESSING, tensors, names, options=options)
    return parts.assemble(path, NAME, LICENCE)
