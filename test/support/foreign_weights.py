"""Random weights written exactly as other projects write theirs."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat

from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing
from support.reference import ALEXNET, VGG16, unit, vgg16_numbers

MEAN = (123.68, 116.779, 103.939)


def vgg16_weights(random: np.random.Generator) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    channels = 3
    for number, out in zip(vgg16_numbers(), [layer for layer in VGG16 if layer != "pool"], strict=True):
        weights |= _convolution(random, f"{number}", int(out), channels, 3)
        channels = int(out)
    return weights


def alexnet_weights(random: np.random.Generator) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    for number, out, channels, kernel, _, _ in ALEXNET:
        weights |= _convolution(random, f"{number}", out, channels, kernel)
    return weights


def resnet18_weights(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Named as torchvision names them, through the third stage."""
    weights = _normalized(random, "conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, out in ((1, 64), (2, 128), (3, 256)):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            weights |= _normalized(random, f"{name}.conv1", f"{name}.bn1", out, channels, 3)
            weights |= _normalized(random, f"{name}.conv2", f"{name}.bn2", out, out, 3)
            if channels != out:
                weights |= _normalized(
                    random, f"{name}.downsample.0", f"{name}.downsample.1", out, channels, 1
                )
            channels = out
    return weights


def layer_weights(random: np.random.Generator, clusters: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Assignment and centroids, (K, D) each; not proportional, as after training."""
    centroids = unit(random.normal(size=(clusters, channels))) * random.uniform(0.5, 1.0, (clusters, 1))
    assignment = 20 * unit(centroids + 0.02 * random.normal(size=centroids.shape))
    return assignment.astype(np.float32), centroids.astype(np.float32)


def whitening_weights(
    random: np.random.Generator, size: int, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Projection (P, size) and bias (P,) in float64, as some projects store them."""
    return random.normal(size=(dimension, size)), 0.1 * random.normal(size=dimension)


def tensors(weights: dict[str, np.ndarray], prefix: str) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((f"{prefix}{key}", torch.from_numpy(value)) for key, value in weights.items())


def write_hloc(
    path: Path, backbone: dict[str, np.ndarray], assignment: np.ndarray, centroids: np.ndarray,
    projection: np.ndarray, bias: np.ndarray, **options: Any,
) -> None:  # fmt: skip
    """MATLAB's network: `projection` has columns in the order d * K + k."""
    layers = np.empty(34, object)
    for index in range(34):
        layers[index] = {"type": "relu", "name": f"layer{index}"}
    for number in vgg16_numbers():
        weight = backbone[f"{number}.weight"].transpose(2, 3, 1, 0)
        layers[number] = {"type": "conv", "weights": _cell(weight, backbone[f"{number}.bias"][:, None])}
    layers[30] = {"type": "custom", "name": "vlad:core", "weights": _cell(assignment.T, -centroids.T)}
    layers[33] = {
        "type": "conv",
        "weights": _cell(projection.T[None, None].astype(np.float32), bias[:, None]),
    }
    average = np.broadcast_to(np.array(MEAN, np.float32), (4, 4, 3))
    net = {"layers": layers, "meta": {"normalization": {"averageImage": average}}}
    savemat(path, {"net": net}, **options)


def _cell(*values: np.ndarray) -> np.ndarray:
    cell = np.empty(len(values), object)
    for index, value in enumerate(values):
        cell[index] = value.astype(np.float32)
    return cell


def _convolution(
    random: np.random.Generator, name: str, out: int, channels: int, kernel: int
) -> dict[str, np.ndarray]:
    scale = np.sqrt(2 / (channels * kernel**2))
    weight = scale * random.normal(size=(out, channels, kernel, kernel))
    bias = 0.1 * random.normal(size=out)
    return {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": bias.astype(np.float32)}


def _normalized(
    random: np.random.Generator, convolution: str, norm: str, out: int, channels: int, kernel: int
) -> dict[str, np.ndarray]:
    weights = _convolution(random, convolution, out, channels, kernel)
    del weights[f"{convolution}.bias"]
    for name, low, high in (
        ("weight", 0.5, 1.5),
        ("bias", -0.2, 0.2),
        ("running_mean", -0.2, 0.2),
        ("running_var", 0.5, 1.5),
    ):
        weights[f"{norm}.{name}"] = random.uniform(low, high, out).astype(np.float32)
    weights[f"{norm}.num_batches_tracked"] = np.array(7)
    return weights


def agree(found: Preprocessing, expected: Preprocessing) -> None:
    """Assert that two preprocessings are the same up to rounding."""
    assert (found.resize, found.size, found.filter) == (expected.resize, expected.size, expected.filter)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-3)
    np.testing.assert_allclose(found.std, expected.std, atol=1e-3)


def descriptor(network: PlaceNetwork, x: np.ndarray) -> np.ndarray:
    """Run an imported network on one preprocessed image (3, H, W)."""
    with torch.no_grad():
        return network(torch.from_numpy(x[None].astype(np.float32)))[0].numpy()


def preprocessed_image(random: np.random.Generator) -> np.ndarray:
    """Make a smooth image (3, 70, 90) in the range of normalised pixels."""
    coarse = random.normal(size=(3, 7, 9))
    return np.kron(coarse, np.ones((10, 10))) + 0.3 * random.normal(size=(3, 70, 90))
