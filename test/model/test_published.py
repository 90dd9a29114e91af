"""Published weights are checked: against the publisher's checksum, or against the first download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from netvlad_core.errors import CheckpointError
from netvlad_core.model.published import RECORD_FILE, PublishedFile, fetch
from support.server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as server:
        yield server


def test_stated_checksum_is_compared(server: Server, tmp_path: Path) -> None:
    good = PublishedFile(server.url, "good", "MIT", sha256=sha256(server.content).hexdigest()[:8])
    assert fetch(good, tmp_path, progress=False) == tmp_path / "good"
    assert not (tmp_path / RECORD_FILE).exists()
    bad = replace(good, file="bad", sha256="00000000")
    with pytest.raises(CheckpointError, match=r"its publisher states 00000000; it is kept as bad\.refused"):
        fetch(bad, tmp_path, progress=False)
    assert not (tmp_path / "bad").exists()
    assert (tmp_path / "bad.refused").exists()


def test_later_downloads_are_held_to_the_first(server: Server, tmp_path: Path) -> None:
    published = PublishedFile(server.url, "weights", "MIT")
    path = fetch(published, tmp_path, progress=False)
    record = json.loads((tmp_path / RECORD_FILE).read_text())
    assert record == {server.url: sha256(server.content).hexdigest()}
    assert fetch(published, tmp_path, progress=False) == path
    assert len(server.requests) == 1  # what is there is not fetched again, only checked
    path.unlink()
    server.content, server.tag = server.content[:-1] + b"!", '"two"'
    with pytest.raises(CheckpointError, match=r"the first download had .*take its line out of"):
        fetch(published, tmp_path, progress=False)
    assert not path.exists()


def test_damaged_record_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=r"checksums\.json, with the checksums .* is damaged"):
        fetch(PublishedFile(server.url, "weights", "MIT"), tmp_path, progress=False)
