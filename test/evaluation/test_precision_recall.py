"""Precision and recall, by counting, and average precision against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netvlad_core.evaluation.precision_recall import average_precision, precision_recall

_SCORES = np.array([0.9, 0.8, 0.8, 0.6, 0.5, -np.inf])
_CORRECT = np.array([True, True, False, True, False, False])
# The third image shows no mapped place; the last one does, but nothing was offered for it.
_ANSWERABLE = np.array([True, True, False, True, True, True])


def test_curve_counts_every_threshold_once_and_ties_together() -> None:
    curve = precision_recall(_SCORES, _CORRECT, _ANSWERABLE)
    np.testing.assert_array_equal(curve.thresholds, [0.9, 0.8, 0.6, 0.5])
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 5, 2 / 5, 3 / 5, 3 / 5])


def test_threshold_is_the_lowest_that_is_precise_enough() -> None:
    curve = precision_recall(_SCORES, _CORRECT, _ANSWERABLE)
    assert (curve.threshold_for(1.0), curve.recall_at(1.0)) == (0.9, 0.2)
    assert (curve.threshold_for(0.7), curve.recall_at(0.7)) == (0.6, pytest.approx(0.6))
    assert curve.recall_at(1.0) == pytest.approx(0.2)


@pytest.mark.parametrize("scores", [np.full(3, -np.inf), np.array([0.5, 0.4, 0.3])])
def test_nothing_correct_gives_no_threshold(scores: np.ndarray) -> None:
    curve = precision_recall(scores, np.zeros(3, bool), np.ones(3, bool))
    assert curve.threshold_for(0.99) is None
    assert curve.recall_at(0.99) == 0.0


def test_average_precision_by_hand() -> None:
    """Correct at ranks 1, 3 and 4 (junk gone), one never found.

    Precision 1, 1/2, 2/3, 3/4; recall grows by 1/4 at ranks 1, 3 and 4, so that the area is
    1/4 (1 + 1) / 2 + 1/4 (1/2 + 2/3) / 2 + 1/4 (2/3 + 3/4) / 2 = 1/4 + 7/48 + 17/96 = 55/96.
    """
    ranked = np.array([8, 4, 9, 5, 7, 6])
    found = average_precision(ranked, correct=np.array([8, 5, 7, 3]), ignored=np.array([4, 6]))
    assert found == pytest.approx(55 / 96, abs=1e-12)


def test_first_rank_wrong_starts_from_a_precision_of_one() -> None:
    """Correct at rank 2 only: (0 + 1/2) / 2, since the precision before it is 0."""
    assert average_precision(np.array([1, 2]), np.array([2])) == pytest.approx(0.25)
    assert average_precision(np.array([2, 1]), np.array([2])) == 1.0


def test_average_precision_at_its_edges() -> None:
    assert average_precision(np.array([1, 2]), np.array([7])) == 0.0
    assert math.isnan(average_precision(np.array([1, 2]), np.array([], dtype=int)))
    assert average_precision(np.array([3, 1, 2]), np.array([1, 2]), np.array([3])) == 1.0
