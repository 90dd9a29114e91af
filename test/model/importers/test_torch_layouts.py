"""Each project's file becomes the network that the project computes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
_EXACT = Preprocessing("exact", (480, 640), *_IMAGENET)
_UNROUNDED = Preprocessing("exact", (480, 640), *_IMAGENET, "antialias-unrounded")
_BACKBONES: dict[str, tuple[Callable[..., Any], Callable[..., Any], int]] = {
    "vgg16": (foreign.vgg16_weights, reference.vgg16, 512),
    "alexnet": (foreign.alexnet_weights, reference.alexnet, 256),
    "resnet18": (foreign.resnet18_weights, reference.resnet18, 256),
}


@dataclass(frozen=True)
class Case:
    """One way in which a project writes its files."""

    project: str
    prefixes: tuple[str, str, str]  # of backbone, layer and whitening
    backbone: str = "vgg16"
    clusters: int = 64
    whitened: int | None = None
    has_bias: bool = False
    convolution_like: bool = False  # the whitening is a 1x1 convolution
    wrap: Callable[[OrderedDict[str, torch.Tensor]], Any] = field(default=lambda state: state)
    preprocessing: Preprocessing = _EXACT


def _nanne(state: OrderedDict[str, torch.Tensor]) -> dict[str, Any]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1, momentum=0.9).state_dict()
    return {
        "epoch": 30,
        "state_dict": state,
        "recalls": {1: np.float64(0.8), 5: np.float64(0.9)},
        "best_score": np.float64(0.9),
        "optimizer": optimizer,
        "parallel": True,
    }


def _benchmark(state: OrderedDict[str, torch.Tensor]) -> dict[str, Any]:
    return {
        "epoch_num": 12,
        "model_state_dict": OrderedDict((f"module.{key}", value) for key, value in state.items()),
        "optimizer_state_dict": {},
        "recalls": np.array([80.0, 90.0]),
        "best_r5": 90.0,
        "not_improved_num": 0,
    }


_CASES = {
    "nanne": Case("Nanne", ("encoder.", "pool.", ""), wrap=_nanne, preprocessing=_KEEP),
    "nanne-v2-several-gpus": Case(
        "Nanne", ("encoder.module.", "pool.module.", ""), "alexnet", 32, has_bias=True, wrap=_nanne,
        preprocessing=_KEEP,
    ),
    "patch-netvlad": Case(
        "Patch-NetVLAD", ("encoder.", "pool.", "WPCA.0."), clusters=16, whitened=128, convolution_like=True,
        wrap=lambda state: {"num_pcs": 128, "state_dict": state},
    ),
    "patch-netvlad-in-training": Case(
        "Patch-NetVLAD", ("encoder.", "pool.", ""), wrap=lambda state: _nanne(state) | {"not_improved": 0}
    ),
    "benchmark": Case(
        "benchmark", ("backbone.", "aggregation.", ""), "resnet18", wrap=_benchmark, preprocessing=_UNROUNDED
    ),
    "benchmark-bare": Case("benchmark", ("backbone.", "aggregation.", ""), preprocessing=_UNROUNDED),
    "benchmark-linear": Case(
        "with a linear layer", ("backbone.", "aggregation.0.", "aggregation.1."), "resnet18", 16, 96,
        wrap=_benchmark, preprocessing=_UNROUNDED,
    ),
    "openibl": Case(
        "OpenIBL", ("base_model.base.", "net_vlad.", "pca_layer."), whitened=64, convolution_like=True,
        preprocessing=Preprocessing("exact", (480, 640), _OPENIBL, (1.0, 1.0, 1.0)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _CASES)
def test_descriptor_is_the_projects_own(name: str, tmp_path: Path) -> None:
    case, random = _CASES[name], np.random.default_rng(5)
    make, forward, channels = _BACKBONES[case.backbone]
    weights = make(random)
    assignment, centroids = foreign.layer_weights(random, case.clusters, channels)
    bias = random.normal(size=case.clusters).astype(np.float32) if case.has_bias else None
    state = foreign.tensors(_as_in_file(case, weights), case.prefixes[0])
    layer = {"centroids": centroids, "conv.weight": assignment[:, :, None, None]}
    state |= foreign.tensors(layer | ({"conv.bias": bias} if bias is not None else {}), case.prefixes[1])
    x = foreign.preprocessed_image(random)
    expected = reference.netvlad(forward(x, weights), assignment, bias, centroids).ravel()
    if case.whitened:
        projection, offset = foreign.whitening_weights(random, expected.size, case.whitened)
        expected = reference.unit(projection @ expected + offset)
        shaped = projection[:, :, None, None] if case.convolution_like else projection
        state |= foreign.tensors({"weight": shaped, "bias": offset}, case.prefixes[2])
    path = tmp_path / "weights"
    torch.save(case.wrap(state), path)

    network, project = import_weights(path)
    assert case.project in project
    assert network.spec.backbone == case.backbone
    foreign.agree(network.spec.preprocessing, case.preprocessing)
    assert np.abs(foreign.descriptor(network, x) - expected).max() < 1e-5


def _as_in_file(case: Case, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ResNets lose their layers' names: the projects cut them into numbered lists."""
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    if case.backbone != "resnet18":
        return weights
    parts = {key: key.partition(".") for key in weights}
    return {f"{numbers[layer]}.{rest}": weights[key] for key, (layer, _, rest) in parts.items()}
