"""A file of a map stays what it was when it was opened, or says that it is not."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping import stored_file
from netvlad_core.mapping.stored_file import StoredFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    os.utime(path, (1, 1))
    return path


def test_parts_are_those_of_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_file, "_BLOCK", 7)
    file = StoredFile(path)
    assert (file.size, file.read(), file.read(3, 2)) == (200, bytes(range(200)), bytes([3, 4]))
    assert file.read_parts([(199, 1), (0, 2), (50, 0)]) == bytes([199, 0, 1])
    assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    file.copy_to(path.with_name("copy"))
    assert path.with_name("copy").read_bytes() == path.read_bytes()


def test_name_may_be_given_to_another_file(path: Path) -> None:
    file = StoredFile(path)
    path.unlink()
    path.write_bytes(b"other")
    assert file.read(0, 3) == bytes([0, 1, 2])


@pytest.mark.parametrize("change", ["cut", "overwritten", "longer"])
def test_file_that_another_program_changes_is_not_believed(change: str, path: Path) -> None:
    file = StoredFile(path)
    with path.open("ab" if change == "longer" else "r+b") as writer:
        writer.truncate(100) if change == "cut" else writer.write(b"x")
    for read in (lambda: file.read(0, 10), lambda: file.read(150, 10), file.sha256):
        with pytest.raises(MapError, match="another program has changed the map"):
            read()


@pytest.mark.parametrize("part", [(150, 51), (-1, 1), (10, -1), (0, 10**30), (10**30, 1)])
def test_no_byte_beyond_the_file_is_asked_for(part: tuple[int, int], path: Path) -> None:
    with pytest.raises(MapError, match="has 200 bytes"):
        StoredFile(path).read(*part)


def test_nothing_but_a_regular_file_is_opened(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, kind in (("link", "a link"), ("pipe", "a pipe"), ("socket", "a socket"), (".", "a folder")):
            with pytest.raises(MapError, match=f"is {kind}"):
                StoredFile(tmp_path / name)
    with pytest.raises(MapError, match="is a device"):
        StoredFile(Path("/dev/null"))
    with pytest.raises(MapError, match="is missing"):
        StoredFile(tmp_path / "nothing")
    with pytest.raises(MapError, match="cannot be opened"):
        StoredFile(tmp_path / ("x" * 5000))


def test_no_descriptor_is_left_open(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        StoredFile(path).read()
    assert len(os.listdir("/proc/self/fd")) == before
