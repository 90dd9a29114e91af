"""The last place of a localizer in a file: read as it was written, or refused with a sentence."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.localization.last_place import LastPlace, _checksum

_LAST = LastPlace("/maps/campus", "campus@1234", place=7, stamp=1_700_000_000_123_456_789, is_reversed=True)


def test_it_is_read_as_it_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "state.json"
    assert LastPlace.read(path) is None
    _LAST.write(path)
    assert LastPlace.read(path) == _LAST
    replace(_LAST, place=-1).write(path)
    assert LastPlace.read(path) == replace(_LAST, place=-1)
    path.write_bytes(b"")
    assert LastPlace.read(path) is None


def test_each_flipped_bit_and_each_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    _LAST.write(path)
    content = path.read_bytes()
    flips = [
        content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(len(content))
    ]
    for damaged in (*flips, *(content[:at] for at in range(1, len(content) - 1))):
        path.write_bytes(damaged)
        with suppress(NetvladError):
            assert LastPlace.read(path) == _LAST  # white space


@pytest.mark.parametrize(
    "change",
    [{"place": 1.0}, {"place": 2**31}, {"place": -2}, {"stamp": -1}, {"stamp": 2**70}, {"map_id": None},
     {"is_reversed": 1}, {"map_path": ["x"]}],
    ids=str,
)  # fmt: skip
def test_values_that_cannot_be_are_refused(change: dict, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    _LAST.write(path)
    values = json.loads(path.read_text()) | change
    del values["sha256"]
    path.write_text(json.dumps(values | {"sha256": _checksum(values)}))
    with pytest.raises(NetvladError, match="is damaged"):
        LastPlace.read(path)


@pytest.mark.parametrize("kind", ["text", "map.json", "folder", "pipe"])
def test_what_is_not_ours_is_refused_and_stays(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("my thesis" if kind == "text" else '{"format": "netvlad_ros place map"}')
    before = path.stat()
    with pytest.raises(NetvladError, match=r"state\.json"):
        LastPlace.read(path)
    with pytest.raises(NetvladError, match=r"state\.json"):
        _LAST.write(path)
    assert path.stat() == before
