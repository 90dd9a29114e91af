"""How far a trajectory is from the true one."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def absolute_trajectory_error(estimated: np.ndarray, true: np.ndarray) -> float:
    """Root mean square distance in metres after the rigid motion that brings the two closest.

    Parameters
    ----------
    estimated, true : (N, 3) float, metres, positions at the same N instants; N >= 2.

    References
    ----------
    Sturm et al., A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012.
    """
    moved, fixed = estimated - estimated.mean(axis=0), true - true.mean(axis=0)
    rotation, _ = Rotation.align_vectors(fixed, moved)
    return float(np.sqrt(((rotation.apply(moved) - fixed) ** 2).sum(axis=1).mean()))
