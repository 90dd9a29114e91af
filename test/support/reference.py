"""Networks in plain NumPy and float64, written from the publications and not from this project's code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Weights = Mapping[str, np.ndarray]

VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
# Convolutions of AlexNet: number in torchvision's list, out, in, kernel, stride, padding; pooling behind two.
ALEXNET = ((0, 64, 3, 11, 4, 2), (3, 192, 64, 5, 1, 2), (6, 384, 192, 3, 1, 1), (8, 256, 384, 3, 1, 1),
           (10, 256, 256, 3, 1, 1))  # fmt: skip


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: int = 1, pad: int = 0) -> np.ndarray:
    """x (C, H, W), w (O, C, k, k) -> (O, H', W')."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, w.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    y = np.tensordot(w.astype(np.float64), windows, axes=([1, 2, 3], [0, 3, 4]))
    return y if b is None else y + b[:, None, None]


def max_pool(x: np.ndarray, kernel: int, stride: int, pad: int = 0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    return sliding_window_view(x, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride].max(axis=(3, 4))


def vgg16_numbers() -> list[int]:
    """Numbers of the convolutions in torchvision's list of layers."""
    numbers, position = [], 0
    for layer in VGG16:
        if layer != "pool":
            numbers.append(position)
        position += 1 if layer == "pool" else 2
    return numbers


def vgg16(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Through conv5_3, without its ReLU; weights "0.weight", "0.bias", "2.weight", ..."""
    numbers = iter(vgg16_numbers())
    last = vgg16_numbers()[-1]
    for layer in VGG16:
        if layer == "pool":
            x = max_pool(x, 2, 2)
            continue
        number = next(numbers)
        x = convolve(x, weights[f"{number}.weight"], weights[f"{number}.bias"], pad=1)
        x = x if number == last else np.maximum(x, 0)
    return x


def alexnet(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Through conv5, without its ReLU."""
    for number, _, _, _, stride, pad in ALEXNET:
        x = convolve(x, weights[f"{number}.weight"], weights[f"{number}.bias"], stride, pad)
        if number == 10:
            return x
        x = np.maximum(x, 0)
        x = max_pool(x, 3, 2) if number in (0, 3) else x
    raise AssertionError


def resnet18(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Through its third stage; weights "conv1.weight", "bn1.weight", "layer1.0.conv1.weight", ..."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / np.sqrt(variance.astype(np.float64) + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + weights[f"{name}.bias"][:, None, None]

    x = np.maximum(norm(convolve(x, weights["conv1.weight"], None, 2, 3), "bn1"), 0)
    x = max_pool(x, 3, 2, 1)
    for stage in (1, 2, 3):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = np.maximum(
                norm(convolve(x, weights[f"{name}.conv1.weight"], None, stride, 1), f"{name}.bn1"), 0
            )
            y = norm(convolve(y, weights[f"{name}.conv2.weight"], None, 1, 1), f"{name}.bn2")
            if stride == 2:
                shortcut = convolve(x, weights[f"{name}.downsample.0.weight"], None, 2)
                x = norm(shortcut, f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
    return x


def unit(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def netvlad(
    features: np.ndarray, assignment: np.ndarray, bias: np.ndarray | None, centroids: np.ndarray
) -> np.ndarray:
    """features (D, h, w), assignment and centroids (K, D) -> (K, D), intra-normalised and of length 1."""
    x = unit(features.reshape(len(features), -1).T.astype(np.float64))
    scores = x @ assignment.T.astype(np.float64) + (0 if bias is None else bias)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    vlad = np.stack([(scores[:, k, None] * (x - centroids[k])).sum(axis=0) for k in range(len(centroids))])
    vlad = unit(vlad)
    return vlad / np.linalg.norm(vlad)
