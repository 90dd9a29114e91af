"""One item proves nothing; three in a row do."""

from __future__ import annotations

import pytest

from netvlad_core.data.judges.majority import Majority


def judged(*items: int) -> list[int | None]:
    """Numbers continue each other upwards by less than ten."""
    series: Majority[int] = Majority(lambda before, after: 0 < after - before < 10)
    return [series.take(item) for item in items]


def test_series_goes_on_past_single_items() -> None:
    assert judged(1, 2, 3, 900, 4, 5, -70, 6, 800, 700, 7) == [0, 0, 0, None, 0, 0, None, 0, None, None, 0]


def test_three_that_continue_each_other_take_over() -> None:
    assert judged(1, 2, 3, 500, 501, 502, 503, 4) == [0, 0, 0, None, None, 2, 0, None]
    assert judged(1, 2, 3, 500, 400, 401, 402) == [0, 0, 0, None, None, None, 2]


@pytest.mark.parametrize("first", [-900, 900])
def test_first_item_has_no_more_weight_than_the_second(first: int) -> None:
    assert judged(first, 1, 2, 3) == [0, None, 1, 0]


def test_rivals_are_known() -> None:
    series: Majority[int] = Majority(lambda before, after: 0 < after - before < 10)
    for item in (1, 2, 500):
        series.take(item)
    assert series.continues_a_rival(505)
    assert not series.continues_a_rival(3)
    assert series.last == 2
