"""Protocols of benchmarks: which images of the published layouts count, and what is correct for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.place_sets.protocols import PROTOCOLS, open_protocol
from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.errors import SourceError
from support.place_sets import write_at_tree, write_msls, write_pitts, write_table, write_tokyo


def _keys(names: list[str]) -> list[str]:
    return [Path(name).stem for name in names]


def test_msls_by_its_own_tools_counts_the_subtask_and_what_can_be_found(tmp_path: Path) -> None:
    """Of three queries the last is not of the subtask; the second is moved 26 m off all places."""
    for city in ("cph", "sf", "london"):
        write_msls(tmp_path, city)
    query = tmp_path / "train_val" / "cph" / "query"
    columns = ["", "key", "easting", "northing", "night", "control_panel", "view_direction"]
    east = {"cphq0": 2.0, "cphq1": 86.1, "cphq2": 62.0}
    rows = [[n, key, x, 6e6, False, False, "Forward"] for n, (key, x) in enumerate(east.items())]
    write_table(query / "postprocessed.csv", columns, rows)
    places = open_protocol(tmp_path, "msls-740")
    assert _keys(list(places.queries.names)) == ["cphq0", "sfq0", "sfq1"]
    assert _keys(list(places.database.names)) == [f"{city}d{n}" for city in ("cph", "sf") for n in range(3)]
    assert [len(rows) for rows in places.positives()] == [1, 1, 1]

    everything = open_protocol(tmp_path, "msls-all")
    assert len(everything.queries) == 6
    assert [len(rows) for rows in everything.positives()] == [1, 0, 1, 1, 1, 1]


def test_places_outside_the_subtask_do_not_count(tmp_path: Path) -> None:
    write_msls(tmp_path)
    database = tmp_path / "train_val" / "cph" / "database"
    rows = [[n, f"cphd{n}", n != 0, False] for n in range(4)]
    write_table(database / "subtask_index.csv", ["", "key", "all", "s2w"], rows)
    places = open_protocol(tmp_path, "msls-740")
    assert _keys(list(places.database.names)) == ["cphd1", "cphd2"]
    assert _keys(list(places.queries.names)) == ["cphq1"]
    (database / "subtask_index.csv").unlink()
    with pytest.raises(SourceError, match=r"msls-740: .*has no subtask_index\.csv"):
        open_protocol(tmp_path, "msls-740")


def test_cut_outs_of_tokyo_count_once_or_each(tmp_path: Path) -> None:
    write_tokyo(tmp_path)
    once, each = (open_protocol(tmp_path, name) for name in ("tokyo247", "tokyo247-images"))
    assert (once.group_counts_once, each.group_counts_once) == (True, False)
    for places in (once, each):
        np.testing.assert_array_equal(places.positives()[0], np.arange(12, 24))


def test_pitts30k_counts_every_query_of_the_test_part_within_25_metres(tmp_path: Path) -> None:
    for split in ("train", "test"):
        path = write_pitts(tmp_path, split)
    places = open_protocol(tmp_path, "pitts30k")
    assert (places.split, len(places.queries), places.threshold) == ("test", 2, 25.0)
    assert [len(rows) for rows in places.positives()] == [4, 0]
    assert len(open_protocol(path, "pitts30k").database) == 6
    path.unlink()
    with pytest.raises(SourceError, match=r"pitts30k: this protocol counts the split test; .* has train"):
        open_protocol(tmp_path, "pitts30k")


def test_folders_with_positions_in_their_names_do_as_well(tmp_path: Path) -> None:
    write_at_tree(tmp_path)
    places, plain = open_protocol(tmp_path, "pitts30k"), open_place_set(tmp_path, "test")
    assert list(places.queries.names) == list(plain.queries.names)
    assert open_protocol(tmp_path, "msls-all").split == "val"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_another_benchmark_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "jpg").mkdir()
    (tmp_path / "jpg" / "100000.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=f"{name}: .* is no set for this protocol; expected"):
        open_protocol(tmp_path, name)
    with pytest.raises(SourceError, match="there is no protocol 'paris'; there are: msls-740"):
        open_protocol(tmp_path, "paris")
    with pytest.raises(SourceError, match="does not exist"):
        open_protocol(tmp_path / "nowhere", name)
