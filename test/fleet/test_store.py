"""A store is made once, whoever comes first; its log tells versions and what waits for the next one."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Barrier, Thread

import pytest

from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.store import PUBLISHED, PUSHED, Entry, FleetStore, Site

_FILE = {"bytes": 3, "sha256": "0" * 64}


def _entry(name: str, kind: str = PUSHED, holds: tuple[str, ...] = (), site: str = "town") -> Entry:
    session = name.encode().hex().ljust(64, "0")
    files = {"map.json": {"bytes": 3, "sha256": session}, "poses.npy": _FILE}
    return Entry(site, session, "p", kind, "r", 0, name, "m", 1, 6, frozenset({name, *holds}), files)


def test_makers_at_once_agree_on_one_store(folder: str) -> None:
    barrier, stores = Barrier(8), []

    def make(number: int) -> None:
        barrier.wait()
        store = FleetStore(folder, makes=True)
        store.tables.add_to_log(_entry(f"map{number}").row())
        stores.append(store)

    threads = [Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    assert {entry.map_id for entry in FleetStore(folder).site("town").entries} == {
        f"map{n}" for n in range(8)
    }
    tables = [path.name for path in Path(folder).iterdir() if path.suffix == ".lance"]
    assert len(tables) == 2, "those of the others are gone"


def test_versions_and_what_waits() -> None:
    entries = [_entry("a"), _entry("b"), _entry("c"), _entry("ab", PUBLISHED, ("a", "b")), _entry("d")]
    site = Site("town", entries)
    assert [entry.map_id for entry in site.versions] == ["a", "ab"]
    assert [entry.map_id for entry in site.waiting] == ["c", "d"]
    assert [entry.map_id for entry in site.live] == ["ab", "c", "d"]
    assert (site.version().map_id, site.version(1).map_id) == ("ab", "a")
    for number in (0, 3):
        with pytest.raises(StoreError, match="versions 1 to 2"):
            site.version(number)
    assert [entry.map_id for entry in Site("town", entries[:3]).waiting] == ["b", "c"]


def test_a_map_counts_once_at_each_site(folder: str) -> None:
    store = FleetStore(folder, makes=True)
    for site in ("town", "town", "other"):
        store.tables.add_to_log(_entry("a", site=site).row())
    assert [(site.name, len(site.entries)) for site in store.sites()] == [("other", 1), ("town", 1)]
    with pytest.raises(StoreError, match="has no site campus; sites: other, town"):
        store.site("campus")
    for name in ("", "a/b", "..", "x" * 101, "a\n"):
        with pytest.raises(StoreError, match="cannot be the name of a site"):
            store.site(name)


def test_there_is_no_store(folder: str) -> None:
    with pytest.raises(StoreError, match="the first push makes one"):
        FleetStore(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "does not describe"),
        (b"[]", "does not describe"),
        (b"\xff", "does not describe"),
        (b'{"format": "netvlad_ros fleet store", "version": 1, "tables": "../x"}', "does not describe"),
        (
            json.dumps({"format": "netvlad_ros fleet store", "version": 9, "tables": "0" * 32}).encode(),
            "version 9",
        ),
    ],
)
def test_what_is_no_store_is_refused(content: bytes, words: str, folder: str) -> None:
    Path(folder).mkdir()
    (Path(folder) / "store.json").write_bytes(content)
    with pytest.raises(StoreError, match=words):
        FleetStore(folder, makes=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("files", "{"),
        ("files", "[]"),
        ("files", '{"../../etc/passwd": {"bytes": 3, "sha256": "' + "0" * 64 + '"}}'),
        ("files", '{"poses.npy": {"bytes": 3, "sha256": "' + "0" * 64 + '"}}'),
        ("files", '{"map.json": {"bytes": -3, "sha256": "' + "0" * 64 + '"}}'),
        ("holds", "[1]"),
        ("session", "1" * 64),
    ],
)
def test_lines_that_no_push_has_written_are_refused(name: str, value: str) -> None:
    with pytest.raises(StoreError, match="the log of the store is damaged"):
        Entry.of_row({**_entry("a").row(), name: value})
    assert Entry.of_row(_entry("a").row()) == _entry("a")
