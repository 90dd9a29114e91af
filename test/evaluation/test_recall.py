"""Recall@N against cases counted by hand."""

import numpy as np

from netvlad_core.evaluation.recall import positives_within, recall_at


def test_queries_without_a_positive_count_as_failed() -> None:
    positives = np.array([[True, False, False], [False, False, True], [False, False, False]])
    retrieved = np.array([[0, 1, 2], [1, 2, 0], [0, 1, 2]])
    recall = recall_at(retrieved, positives, counts=(1, 2, 3))
    assert recall == {1: 1 / 3, 2: 2 / 3, 3: 2 / 3}


def test_positive_is_within_the_radius_in_space() -> None:
    places = np.array([[0.0, 0, 0], [30, 0, 0], [0, 0, 30]])
    np.testing.assert_array_equal(
        positives_within(places, np.array([[6.0, 0, 0]]), 25.0), [[True, True, False]]
    )
    assert positives_within(places, np.array([[5.0, 0, 0]]), 25.0)[0, 1]
