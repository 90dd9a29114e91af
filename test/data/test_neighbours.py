"""Which images show one place, against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.neighbours import looks_along, rows_with_label, rows_within


def test_near_rows_are_ascending_and_include_the_border() -> None:
    places = np.array([[30.0, 0.0], [0.0, 0.0], [3.0, 4.0], [5.1, 0.0]])
    near, none = rows_within(places, np.array([[0.0, 0.0], [500.0, 0.0]]), 5.0)
    assert near.tolist() == [1, 2]
    assert (none.tolist(), none.dtype) == ([], np.int64)
    assert [rows.tolist() for rows in rows_within(places[:0], places[:2], 5.0)] == [[], []]
    assert rows_within(places, places[:0], 5.0) == []


def test_rows_of_a_label() -> None:
    found = rows_with_label(np.array(["b", "a", "b", "c"]), np.array(["b", "z", "a"]))
    assert [rows.tolist() for rows in found] == [[0, 2], [], [1]]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        (0.0, [True, True, False, True]),
        (180.0, [False, False, True, True]),
        (359.0, [True, False, False, True]),
    ],
)
def test_headings_are_compared_around_the_circle_and_unknown_ones_agree(
    heading: float, expected: list[bool]
) -> None:
    headings = np.radians([0.0, 30.0, -175.0, np.nan])
    assert looks_along(headings, np.radians(heading), np.radians(30.0)).tolist() == expected
