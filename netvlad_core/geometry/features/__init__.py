"""The kinds of local features: what finds them, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from netvlad_core.geometry.features import rootsift, xfeat


@dataclass(frozen=True)
class FeatureKind:
    """One kind of local features.

    Attributes
    ----------
    find : an image (H, W) uint8 and the largest number of features -> points (N, 2) float32, x and y in
        pixels of the image, and descriptors (N, D) float32, L2-normalised; the strongest first.
    dimension : D.
    stored : features that a map keeps of a place, and with which an image is compared with it.
    located : features of an image of which a metric pose is measured.
    most_pixels : of an image; larger ones are made smaller before features are looked for.
    ratio : Lowe's test: greatest distance of the nearest descriptor as a share of that of the second.
    least_similarity : inner product that two descriptors of one point have at least.
    least_similarity_nearby : the same where the geometry of many points decides afterwards.
    """

    find: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    dimension: int
    stored: int
    located: int
    most_pixels: int
    ratio: float
    least_similarity: float = -1.0
    least_similarity_nearby: float = 0.8


# Numbers by benchmarks/geometry.py, see docs/localization_results.md. Lowe takes a ratio of 0.8; here
# geometry tells wrong matches apart afterwards. 0.82 is what the authors of XFeat take. Pixels are a bound of
# memory for RootSIFT, 250 bytes each, and one of time for XFeat, which takes 20 ms of a core for its own.
KINDS = {
    "rootsift": FeatureKind(rootsift.find, 128, stored=450, located=450, most_pixels=1_600_000, ratio=0.9),
    "xfeat": FeatureKind(
        xfeat.find,
        64,
        stored=500,
        located=800,
        most_pixels=640 * 480,
        ratio=0.95,
        least_similarity=0.82,
    ),
}


def usual_kind() -> str:
    """The kind that a map gets unless it is told otherwise: XFeat if something here runs its network."""
    return "xfeat" if find_spec("openvino") or find_spec("onnxruntime") else "rootsift"
