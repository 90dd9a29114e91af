"""The kinds of local features: what finds them, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    stored : features that a map keeps of a place, and that are looked for in an image to compare with it.
    ratio : Lowe's test: greatest distance of the nearest descriptor as a share of that of the second.
    least_similarity : inner product that two descriptors of one point have at least.
    """

    find: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    dimension: int
    stored: int
    ratio: float
    least_similarity: float = -1.0


# Numbers by benchmarks/geometry.py, see docs/localization_results.md. Lowe takes a ratio of 0.8; here
# geometry tells wrong matches apart afterwards. 0.82 is what the authors of XFeat take.
KINDS = {
    "rootsift": FeatureKind(rootsift.find, 128, stored=450, ratio=0.9),
    "xfeat": FeatureKind(xfeat.find, 64, stored=500, ratio=0.95, least_similarity=0.82),
}
