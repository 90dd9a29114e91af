"""Objects keep their content, and files travel in parts, of which those that are there are not sent again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.fleet import objects as module
from netvlad_core.fleet.objects import Objects, StoreError, store_location


def test_a_name_that_is_taken_keeps_its_content(location: str) -> None:
    objects = Objects(location)
    assert objects.read("a/b.json") is None
    assert objects.create("a/b.json", b"first")
    assert not objects.create("a/b.json", b"second")
    assert Objects(location).read("a/b.json") == b"first"


@pytest.mark.parametrize("size", [0, 1, 10, 25])
def test_files_travel_in_parts(
    size: int, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 10)
    objects = Objects(location)
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(size)))
    assert sum(objects.put_file(source, "files/x")) == size
    assert sum(objects.get_file("files/x", size, copy)) == size
    assert copy.read_bytes() == source.read_bytes()


def test_what_is_there_is_not_sent_again(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 10)
    objects = Objects(folder)
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(25)))
    sent: list[str] = []

    def noted(call: Any) -> Any:
        def calls(name: str, *content: bytes) -> Any:
            sent.append(name)
            return call(name, *content)

        return calls

    monkeypatch.setattr(objects, "create", noted(objects.create))
    monkeypatch.setattr(objects, "read", noted(objects.read))
    next(objects.put_file(source, "x"))  # and the connection breaks
    del sent[:]
    assert list(objects.put_file(source, "x")) == [10, 10, 5]
    assert sent == ["x/000001", "x/000002"]
    copy.write_bytes(source.read_bytes()[:13])
    del sent[:]
    assert list(objects.get_file("x", 25, copy)) == [10, 10, 5]
    assert sent == ["x/000001", "x/000002"]
    assert copy.read_bytes() == source.read_bytes()


def test_a_part_of_another_size_is_said(folder: str, tmp_path: Path) -> None:
    Objects(folder).create("x/000000", b"half")
    (tmp_path / "source").write_bytes(b"whole")
    with pytest.raises(StoreError, match="has 4 bytes, expected 5"):
        list(Objects(folder).put_file(tmp_path / "source", "x"))
    with pytest.raises(StoreError, match="lacks part 0 of x"):
        list(Objects(folder).get_file("x", 5, tmp_path / "copy"))


def test_a_part_that_is_missing_is_said(folder: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lacks part 0 of files/x; push the map again"):
        list(Objects(folder).get_file("files/x", 5, tmp_path / "copy"))


def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_location("fleet") == str(tmp_path / "fleet")
    assert store_location("s3://bucket/fleet/") == "s3://bucket/fleet"
    for text in ("ftp://host/fleet", ""):
        with pytest.raises(NetvladError, match="expected"):
            store_location(text)


def test_without_obstore_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match="pip install lancedb obstore"):
        Objects(str(tmp_path))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Objects(str(tmp_path / "file" / "store"))
