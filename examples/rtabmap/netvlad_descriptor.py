"""Global descriptors for RTAB-Map: its parameter PyDescriptor/Path names this file.

RTAB-Map runs it in its own process: `init` once, then `extract` for each image. It needs neither ROS nor
torch.

    rtabmap --Mem/GlobalDescriptorStrategy 1 --PyDescriptor/Path /path/to/netvlad_descriptor.py \\
        --PyDescriptor/Dim 512 --Kp/TfIdfLikelihoodUsed false --Mem/RehearsalSimilarity 1

PyDescriptor/Dim keeps the first entries of a whitened descriptor; others come whole. The environment says the
rest:

NETVLAD_WEIGHTS : checkpoint or ONNX file, for one the network of a map (default: that of the package).
NETVLAD_DEVICE : auto, cpu, cuda (default: auto).
"""

from __future__ import annotations

import os
import sys

if not hasattr(sys, "argv"):  # as in an interpreter within another program
    sys.argv = [""]

import numpy as np

from netvlad_core import Extractor, NetvladError
from netvlad_core.model.backbones import network_file

_extractor: Extractor | None = None
_dimension = 0
_failure = ""


def init(dimension: int) -> None:
    """Open the network. RTAB-Map does not survive an exception here, so `extract` raises it."""
    global _extractor, _dimension, _failure
    weights = os.environ.get("NETVLAD_WEIGHTS", "packaged")
    try:
        _extractor = Extractor.load(network_file(weights), os.environ.get("NETVLAD_DEVICE", "auto"))
        _extractor.try_out()
    except NetvladError as error:
        _extractor, _failure = None, str(error)
        print(f"netvlad_descriptor: {error}", file=sys.stderr)
        return
    whole = _extractor.dimension
    _dimension = min(dimension, whole) if _extractor.spec.whitened_dimension else whole
    network = f"{_extractor.model_id} on {_extractor.runs_on}"
    print(f"netvlad_descriptor: {network}, {_dimension} of {whole} dimensions", file=sys.stderr)


def extract(image: np.ndarray) -> np.ndarray:
    """Descriptor (1, D) float32, L2-normalised, of a BGR or grey image (H, W, C), its bytes signed or not.

    RTAB-Map ends when one node has a descriptor and another has none, so an image that cannot be described
    gets zeros, which resemble nothing.
    """
    if _extractor is None:
        raise RuntimeError(_failure or "init has not been called")
    pixels = image.view(np.uint8)
    if pixels.shape[2] == 3:
        pixels = pixels[:, :, ::-1]
    try:
        descriptor = _extractor(np.ascontiguousarray(pixels))[:, :_dimension]
    except NetvladError as error:
        print(f"netvlad_descriptor: no descriptor: {error}", file=sys.stderr)
        return np.zeros((1, _dimension), np.float32)
    return np.ascontiguousarray(descriptor / np.linalg.norm(descriptor, axis=1, keepdims=True))
