"""XFeat (Potje et al., CVPR 2024): points and descriptors by a small network, by night as well.

The file beside `weights/LICENSE.xfeat` holds the authors' weights (Apache-2.0); `python -m tools.xfeat` makes
it. OpenVINO runs it, else ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.engine import allowed_threads
from netvlad_core.model.onnx_engine import check_sum, open_session, read_metadata
from netvlad_core.model.openvino_engine import read_model

FORMAT = "netvlad_ros local features 1"
NETWORK = Path(__file__).parent / "weights" / "xfeat.onnx"
INPUT, OUTPUTS = "grey", ("corners", "reliability", "descriptors")

_STRIDE = 32  # the network takes sides that are multiples of this
_CELL = 8  # pixels of the image on a side of a cell of reliability and descriptors
# The authors' numbers.
_LEAST_PROBABILITY, _NEIGHBOURHOOD = 0.05, 5
_LEAST_HEIGHT, _LEAST_CURVATURE = 1e-4, 0.1  # of logarithms of probabilities
_SMALLEST_SIDE = 240  # smaller images are enlarged to this, as for RootSIFT
_AT_ONCE = 4  # channels: as many as `cv2.remap` takes

# (H, W) float32 -> corners (H, W), reliability (H/8, W/8), descriptors (64, H/8, W/8), all float32.
Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def find(grey: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of an image, as `FeatureKind.find` says.

    Raises
    ------
    NetvladError
        If neither OpenVINO nor ONNX Runtime is installed.
    CheckpointError
        If the network is damaged.
    """
    height, width = grey.shape
    scale = max(1.0, _SMALLEST_SIDE / min(grey.shape))
    rows, columns = (max(2, round(side * scale / _STRIDE)) * _STRIDE for side in grey.shape)
    if (rows, columns) != grey.shape:
        grey = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_LINEAR)
    corners, reliability, dense = _packaged()(grey.astype(np.float32))
    is_peak = corners == cv2.dilate(corners, np.ones((_NEIGHBOURHOOD, _NEIGHBOURHOOD), np.uint8))
    y, x = np.nonzero(is_peak & (corners > _LEAST_PROBABILITY))
    cells = [((axis + 0.5) / _CELL - 0.5).astype(np.float32)[:, None] for axis in (x, y)]
    scores = corners[y, x] * _sampled(reliability[None], cells, cv2.INTER_LINEAR)[:, 0]
    best = np.argsort(-scores, kind="stable")[:most]
    descriptors = _sampled(dense, [axis[best] for axis in cells], cv2.INTER_CUBIC)
    descriptors /= np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    peaks = np.stack([x[best], y[best]], axis=1) + _beside(corners, x[best], y[best])
    points = (peaks + 0.5) * (width / columns, height / rows) - 0.5
    return points.astype(np.float32), descriptors


def _beside(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 2) offsets, at most half a pixel, from peaks to those of parabolas through their neighbours."""
    heights = np.log(np.maximum(cv2.copyMakeBorder(corners, 1, 1, 1, 1, cv2.BORDER_REPLICATE), _LEAST_HEIGHT))
    offsets = []
    for right, down in ((1, 0), (0, 1)):
        before, at, after = (heights[y + 1 + step * down, x + 1 + step * right] for step in (-1, 0, 1))
        offsets.append((after - before) / np.maximum(2 * (2 * at - before - after), _LEAST_CURVATURE))
    return np.clip(np.stack(offsets, axis=1), -0.5, 0.5)


def _sampled(maps: np.ndarray, at: list[np.ndarray], interpolation: int) -> np.ndarray:
    """Maps (C, H, W) between their pixels, (N, C); `at` holds columns and rows, (N, 1) each."""
    if not len(at[0]):
        return np.empty((0, len(maps)), np.float32)
    found = []
    for first in range(0, len(maps), _AT_ONCE):
        group = np.ascontiguousarray(maps[first : first + _AT_ONCE].transpose(1, 2, 0))
        taken = cv2.remap(group, at[0], at[1], interpolation, borderMode=cv2.BORDER_REPLICATE)
        found.append(taken.reshape(len(at[0]), -1))
    return np.concatenate(found, axis=1)


@cache
def _packaged() -> Network:
    return open_network(NETWORK)


def open_network(path: Path) -> Network:
    """Open a file of `tools.xfeat` with the fastest engine that is installed."""
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no network of local features, as `python -m tools.xfeat` makes it")
    digest = check_sum(path, metadata)
    if find_spec("openvino"):
        return _openvino(path)
    if find_spec("onnxruntime"):
        return _onnxruntime(path, digest)
    raise NetvladError("XFeat needs OpenVINO or ONNX Runtime: pip install openvino, or take rootsift")


def _openvino(path: Path) -> Network:
    core, model = read_model(path)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": allowed_threads()}
    compiled = core.compile_model(model, "CPU", options)

    def run(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = compiled.create_infer_request().infer([grey[None, None]])
        return _flat([found[number] for number in range(len(OUTPUTS))])

    return run


def _onnxruntime(path: Path, digest: str) -> Network:
    session = open_session(path, "cpu", digest)
    return lambda grey: _flat(session.run(list(OUTPUTS), {INPUT: grey[None, None]}))


def _flat(outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corners, reliability, descriptors = outputs
    return corners[0, 0], reliability[0, 0], descriptors[0]
