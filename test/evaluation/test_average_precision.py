"""Average precision against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netvlad_core.evaluation.average_precision import average_precision


def test_by_hand() -> None:
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


def test_edges() -> None:
    assert average_precision(np.array([1, 2]), np.array([7])) == 0.0
    assert math.isnan(average_precision(np.array([1, 2]), np.array([], dtype=int)))
    assert average_precision(np.array([3, 1, 2]), np.array([1, 2]), np.array([3])) == 1.0
