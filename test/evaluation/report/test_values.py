"""Numbers of the page: JSON has no NaN, and people want round edges."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.evaluation.report.values import all_rounded, histogram, metres, rounded


@pytest.mark.parametrize("value", [None, np.nan, np.inf, -np.inf, np.float32("nan")])
def test_what_is_no_number_is_none(value: float | None) -> None:
    assert rounded(value, 2) is None


def test_numbers_are_plain_and_short() -> None:
    assert all_rounded(np.array([1.23456, np.nan], np.float32), 3) == [1.235, None]
    assert type(rounded(np.float64(2.0), 1)) is float
    assert metres(np.array([1.005, -2.0, 9.0])) == [1.0, -2.0]
    assert metres(np.array([1.0, np.nan, 0.0])) is None


def test_every_value_is_counted_between_round_edges() -> None:
    values = np.concatenate([np.linspace(0, 4.9, 990), [80.0], [np.nan]])
    found = histogram(values)
    assert sum(found["counts"]) == 991
    assert found["is_open"]
    assert found["edges"][0] == 0
    assert found["edges"][1] in (0.1, 0.2, 0.5)
    assert len(found["edges"]) == len(found["counts"]) + 1 < 30


@pytest.mark.parametrize("values", [[], [np.nan]])
def test_no_values_have_no_histogram(values: list[float]) -> None:
    assert histogram(np.array(values)) is None


@pytest.mark.parametrize("value", [0.0, 3.0, 1e-12, 1e9])
def test_equal_values_have_one(value: float) -> None:
    assert sum(histogram(np.full(7, value))["counts"]) == 7
