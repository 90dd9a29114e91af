"""Average precision by the trapezoid rule of the Oxford buildings protocol (Philbin et al., CVPR 2007)."""

from __future__ import annotations

import numpy as np


def average_precision(ranked: np.ndarray, correct: np.ndarray, ignored: np.ndarray | None = None) -> float:
    """Area below the curve of precision over recall, with straight lines between the ranks.

    Parameters
    ----------
    ranked : (N,) int, images, best first; correct ones that it lacks count as never found.
    correct : int, images that should be found, "good" and "ok".
    ignored : int, images that are taken out of the ranking as if they were not there, "junk".

    Returns
    -------
    In [0, 1]; NaN where nothing is correct.
    """
    if not len(correct):
        return float("nan")
    if ignored is not None:
        ranked = ranked[~np.isin(ranked, ignored)]
    hits = np.isin(ranked, correct)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    before = np.concatenate([[1.0], precision[:-1]])
    return float(((before + precision)[hits] / 2).sum() / len(np.unique(correct)))
