"""Folders are replaced whole or not at all."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from netvlad_core import files
from netvlad_core.files import replace_directory, sha256_of


def _folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "a").write_text(content)
    (path / "b").write_text(content)
    return path


@pytest.mark.parametrize("exchange", [True, False], ids=["renameat2", "without an exchange"])
def test_old_folder_gives_way_and_nothing_is_left(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    _folder(tmp_path / "target", "old")
    (tmp_path / "target" / "only in the old one").touch()
    _folder(tmp_path / ".target.previous", "of a run that was killed")
    replace_directory(_folder(tmp_path / "new", "new"), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert {path.name: path.read_text() for path in (tmp_path / "target").iterdir()} == {
        "a": "new",
        "b": "new",
    }


def test_new_name(tmp_path: Path) -> None:
    replace_directory(_folder(tmp_path / "new", "new"), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_reader_never_sees_a_mixture_or_nothing(tmp_path: Path) -> None:
    """A thread reads while another one replaces the folder a hundred times."""
    target, done = _folder(tmp_path / "target", "0"), Event()

    def read() -> int:
        seen = 0
        while not done.is_set():
            assert (target / "a").exists()
            seen += 1
        return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for number in range(100):
            replace_directory(_folder(tmp_path / "new", str(number)), target)
        done.set()
        assert reading.result() > 0
    assert (target / "b").read_text() == "99"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_checksum(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert sha256_of(tmp_path / "file") == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
