"""Recall@N against cases counted by hand, and within the memory of a large map."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.evaluation.recall import Recall, recall_by_position, within

_ROOT = Path(__file__).resolve().parents[2]
_LINE = np.array([[float(x), 0.0, 0.0] for x in range(0, 100, 10)])


def test_queries_without_a_positive_count_as_failed_and_trivial_ones_not_at_all() -> None:
    ranks = np.array([0.0, 1.0, np.inf, np.inf, 0.0])
    recall = Recall(ranks, np.array([1, 1, 1, 0, 1], bool), np.array([0, 0, 0, 0, 1], bool))
    assert recall.at((1, 2, 3)) == {1: 1 / 4, 2: 2 / 4, 3: 2 / 4}
    assert recall.at((1,), among=np.array([1, 0, 0, 0, 1], bool)) == {1: 1.0}
    assert recall.at((1,), among=np.array([0, 0, 0, 0, 1], bool)) == {1: 0.0}


def test_near_is_within_the_radius_in_space_the_border_included() -> None:
    places = np.array([[0.0, 0, 0], [30, 0, 0], [0, 0, 30], [np.nan] * 3])
    rows = np.array([[0, 1, 2, 3]])
    assert within(rows, places, np.array([[6.0, 0, 0]]), 25.0).tolist() == [[True, True, False, False]]
    assert within(rows, places, np.array([[5.0, 0, 0]]), 25.0).tolist() == [[True, True, False, False]]
    assert within(rows, places, np.array([[4.9, 0, 0]]), 25.0).tolist() == [[True, False, False, False]]


def test_ranks_by_position() -> None:
    queries = np.array([[0.0, 0, 0], [50, 0, 0], [500, 0, 0]])
    ranked = np.array([[3, 1, 0], [5, 0, 1], [9, 8, 7]])
    recall = recall_by_position(ranked, _LINE, queries, 10.0)
    assert recall.first_correct.tolist() == [1.0, 0.0, np.inf]
    assert recall.has_positive.tolist() == [True, True, False]
    assert not recall.is_trivial.any()


def test_a_query_for_which_every_place_is_correct_is_trivial() -> None:
    queries = np.array([[45.0, 0, 0], [0, 0, 0]])
    recall = recall_by_position(np.array([[0, 1], [0, 1]]), _LINE, queries, 45.0)
    assert recall.is_trivial.tolist() == [True, False]
    # A place of unknown position is correct for nobody.
    unknown = np.vstack([_LINE, [[np.nan] * 3]])
    assert not recall_by_position(np.array([[0, 1], [0, 1]]), unknown, queries, 45.0).is_trivial.any()


@pytest.mark.parametrize("spread", [50_000.0, 1e-3], ids=["a city", "degrees taken for metres"])
def test_a_large_map_fits_in_two_gigabytes(spread: float) -> None:
    """10 000 queries and 100 000 places; a table of all pairs would take 8 GB."""
    program = f"""
import resource
import numpy as np
from netvlad_core.evaluation.recall import recall_by_position
rng = np.random.default_rng(0)
places = rng.uniform(0, {spread}, (100_000, 3))
rows = rng.integers(0, len(places), (10_000, 20))
recall = recall_by_position(rows, places, places[rows[:, 3]], 25.0)
assert (recall.first_correct <= 3).all() and recall.is_trivial.all() == ({spread} < 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    limit = (2 << 30, 2 << 30)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, limit),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2048
