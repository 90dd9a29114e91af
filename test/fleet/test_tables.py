"""Tables of a store: the log keeps its order, places are found, many writers lose nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from netvlad_core.fleet import tables as module
from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.tables import WIDTH, Tables, literal
from support.maps import straight, unit

_TEXTS = {"site": "a", "session": "s", "push": "p", "robot": "r", "model": "m"}


def _opened(location: str) -> Tables:
    tables = Tables(location)
    tables.make("0")
    tables.open("0")
    return tables


def _line(number: int) -> dict[str, Any]:
    numbers = {"pushed": number, "places": 1, "bytes": 1}
    return {**_TEXTS, "kind": "pushed", "map_id": "x", "holds": "[]", "files": "{}", **numbers}


def _add(tables: Tables, rows: np.ndarray, **texts: str) -> None:
    blocks = [(np.arange(len(rows)), np.arange(len(rows)), straight(rows, 1.0), rows.astype(np.float16))]
    tables.add_places({**_TEXTS, **texts}, lambda: blocks)


def test_the_log_keeps_its_order(location: str) -> None:
    """Also when small files are joined, some of them twice."""
    tables = _opened(location)
    for number in range(9):
        tables.add_to_log(_line(number))
        if number in (3, 6, 8):
            tables.tidy()
    assert [row["pushed"] for row in tables.log()] == list(range(9))
    assert tables.log("pushed = 4") == [_line(4)]
    assert [row["pushed"] for row in _again(location).log()] == list(range(9))


def _again(location: str) -> Tables:
    again = Tables(location)
    again.open("0")
    return again


def test_writers_at_once_lose_nothing(folder: str) -> None:
    _opened(folder)
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            tables = _again(folder)
            for part in range(4):
                tables.add_to_log(_line(10 * number + part))
                tables.remove_places(f"push = 'of {number}'")
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = sorted(10 * number + part for number in range(6) for part in range(4))
    assert sorted(row["pushed"] for row in _again(folder).log()) == expected


@pytest.mark.parametrize("indexed_from", [10**9, 100], ids=["one by one", "by the index"])
def test_the_most_similar_place_is_found(
    indexed_from: int, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_INDEXED_FROM", indexed_from)
    monkeypatch.setattr(module, "_PLACES_PER_CELL", 50)
    rows = unit(np.random.default_rng(0).standard_normal((300, WIDTH)))
    tables = _opened(folder)
    _add(tables, rows)
    _add(tables, rows, site="it's", model="another")
    tables.tidy()
    tables.tidy()  # the index is there
    query = unit(rows[[7]] + 0.02 * rows[[8]])[0]
    found = tables.nearest(query, f"model = {literal('m')}", 3)
    assert found[0]["place"] == 7
    assert len(found) == 3
    assert found[0]["similarity"] == pytest.approx(float(rows[7] @ query), abs=2e-3)
    assert (found[0]["site"], found[0]["pose"][0]) == ("a", 7.0)
    tables.remove_places("site = " + literal("it's"))
    assert (tables.count_places(), tables.count_places("site = 'a'")) == (300, 300)


def test_without_lancedb_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(StoreError, match="pip install lancedb obstore"):
        Tables(str(tmp_path))


def test_tables_that_are_missing_are_said(folder: str) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        _again(folder)
