"""Precision and recall: of places that a threshold on a score accepts, and of rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrecisionRecall:
    """A curve over all thresholds; a place is accepted if its score reaches the threshold.

    Attributes
    ----------
    thresholds : (T,) float, descending, the scores that occur.
    precision : (T,) share of the accepted places that are correct.
    recall : (T,) correct ones among the images that have a correct place in the map, accepted or not.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    def threshold_for(self, precision: float) -> float | None:
        """Lowest threshold that accepts with this precision; None if there is none."""
        enough = np.flatnonzero(self.precision >= precision)
        return float(self.thresholds[enough[-1]]) if len(enough) else None

    def recall_at(self, precision: float) -> float:
        """Largest recall at this precision, 0 if no threshold reaches it."""
        return float(self.recall[self.precision >= precision].max(initial=0.0))


def precision_recall(scores: np.ndarray, correct: np.ndarray, answerable: np.ndarray) -> PrecisionRecall:
    """Curve of the best places of some images.

    Parameters
    ----------
    scores : (Q,) float, higher is more certain; -inf if no place is offered.
    correct : (Q,) bool, whether the place is a correct one.
    answerable : (Q,) bool, whether the map has a correct place at all. Images without one belong here too: a
        robot leaves its map.
    """
    offered = np.isfinite(scores)
    order = np.argsort(-scores[offered], kind="stable")
    ordered, hits = scores[offered][order], np.cumsum(correct[offered][order])
    # Equal scores are accepted together.
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True)) if len(ordered) else np.empty(0, int)
    possible = max(1, int(answerable.sum()))
    return PrecisionRecall(ordered[ends], hits[ends] / (ends + 1), hits[ends] / possible)


def average_precision(ranked: np.ndarray, correct: np.ndarray, ignored: np.ndarray | None = None) -> float:
    """Area below precision over recall, by the trapezoid rule of Oxford buildings (Philbin, CVPR 2007).

    Parameters
    ----------
    ranked : (N,) int, images, best first; correct ones that it lacks count as never found.
    correct : int, images that should be found, "good" and "ok".
    ignored : int, "junk" images, which are taken out of the ranking.

    Returns
    -------
    In [0, 1]; NaN if nothing is correct.
    """
    if not len(correct):
        return float("nan")
    if ignored is not None:
        ranked = ranked[~np.isin(ranked, ignored)]
    hits = np.isin(ranked, correct)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    before = np.concatenate([[1.0], precision[:-1]])
    return float(((before + precision)[hits] / 2).sum() / len(np.unique(correct)))
