"""The journal of a build: what it does not name was not done."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping.journal import Entry, Journal

_DIMENSION = 5


def _write(folder: Path, key: str = "drive", places: int = 3) -> list[np.ndarray]:
    """A journal with this many places and one broken frame; returns the descriptors."""
    journal = Journal(folder, key)
    journal.resume(_DIMENSION, batch_size=1)
    rows = [np.full(_DIMENSION, index, np.float32) for index in range(places)]
    for index, row in enumerate(rows):
        journal.image_end += 10
        journal.append([Entry(f"{index}", index, None, journal.image_end)], [row], [bytes(10)])
    journal.append([Entry("broken", 99, error="truncated")], [], [])
    journal.close()
    return rows


def _resumed(folder: Path, key: str = "drive") -> Journal:
    journal = Journal(folder, key)
    journal.resume(_DIMENSION, batch_size=1)
    journal.close()
    return journal


def test_another_run_finds_all_that_was_done(tmp_path: Path) -> None:
    rows = _write(tmp_path / "work")
    journal = _resumed(tmp_path / "work")
    assert [entry.name for entry in journal.entries] == ["0", "1", "2", "broken"]
    assert (len(journal.places), journal.image_end) == (3, 30)
    stored = np.fromfile(journal.descriptors_path, np.float32).reshape(-1, _DIMENSION)
    np.testing.assert_array_equal(stored, rows)


def test_work_under_another_key_is_thrown_away(tmp_path: Path) -> None:
    _write(tmp_path / "work")
    journal = _resumed(tmp_path / "work", key="another drive")
    assert journal.entries == []
    assert journal.descriptors_path.stat().st_size == 0


@pytest.mark.parametrize("tail", ['{"name": "half', "not json at all", '{"name": "3"}'])
def test_what_the_kill_left_behind_the_journal_is_cut_off(tmp_path: Path, tail: str) -> None:
    _write(tmp_path / "work")
    journal = tmp_path / "work" / "journal.jsonl"
    with journal.open("a") as file:
        file.write(tail)  # without the end of the line
    for name in ("descriptors.f32", "images.bin"):
        with (tmp_path / "work" / name).open("ab") as file:
            file.write(b"half a row")
    resumed = _resumed(tmp_path / "work")
    assert len(resumed.places) == 3
    assert resumed.descriptors_path.stat().st_size == 3 * _DIMENSION * 4
    assert resumed.images_path.stat().st_size == 30
    assert journal.read_text().endswith("\n")


@pytest.mark.parametrize("name", ["descriptors.f32", "images.bin"])
def test_journal_without_its_rows_is_not_trusted(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "work")
    (tmp_path / "work" / name).write_bytes(b"")
    assert _resumed(tmp_path / "work").entries == []


@pytest.mark.parametrize("name", ["descriptors.f32", "images.bin"])
def test_row_that_is_not_what_was_written_is_made_again_and_all_after_it(tmp_path: Path, name: str) -> None:
    """A power cut may leave zeros of the right length; a bit may flip."""
    _write(tmp_path / "work", places=4)
    path = tmp_path / "work" / name
    content = bytearray(path.read_bytes())
    size = len(content) // 4
    content[2 * size : 3 * size] = bytes(byte ^ 1 for byte in content[2 * size : 3 * size])
    path.write_bytes(content)
    resumed = _resumed(tmp_path / "work")
    assert [entry.name for entry in resumed.entries] == ["0", "1"]
    assert (resumed.place_count, path.stat().st_size) == (2, 2 * size)


@pytest.mark.parametrize("change", [('"stamp": 1', '"stamp": 2'), ('"image_end": 20', '"image_end": 2e30')])
def test_line_that_is_not_what_was_written_is_not_believed(tmp_path: Path, change: tuple[str, str]) -> None:
    _write(tmp_path / "work")
    journal = tmp_path / "work" / "journal.jsonl"
    journal.write_text(journal.read_text().replace(*change))
    assert [entry.name for entry in _resumed(tmp_path / "work").entries] == ["0"]


def test_work_is_continued_where_a_batch_begins(tmp_path: Path) -> None:
    _write(tmp_path / "work", places=4)
    for batch_size, done in ((2, 4), (3, 3)):
        journal = Journal(tmp_path / "work", "drive")
        journal.resume(_DIMENSION, batch_size)
        journal.close()
        assert [entry.name for entry in journal.entries] == ["0", "1", "2", "3"][:done]
        assert (journal.place_count, journal.image_end) == (done, 10 * done)
        assert journal.descriptors_path.stat().st_size == done * _DIMENSION * 4
        assert journal.images_path.stat().st_size == 10 * done


def test_rows_are_on_the_disk_before_the_lines_that_vouch_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []
    lines = tmp_path / "work" / "journal.jsonl"

    def note(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, lines.stat().st_size))

    journal = Journal(tmp_path / "work", "drive")
    journal.resume(_DIMENSION, batch_size=1)
    monkeypatch.setattr(os, "fsync", note)
    journal.append([Entry("0", 0, None, 3)], [np.ones(_DIMENSION, np.float32)], [b"abc"])
    journal.close()
    assert synced == [("descriptors.f32", 0), ("images.bin", 0)]
    assert lines.stat().st_size > 0


@pytest.mark.parametrize("content", [{"thesis.tex": "years"}, {"key": "-----BEGIN"}, {"images.bin": "mine"}])
def test_folder_of_a_stranger_is_left_alone(tmp_path: Path, content: dict[str, str]) -> None:
    (tmp_path / "work").mkdir()
    for name, text in content.items():
        (tmp_path / "work" / name).write_text(text)
    with pytest.raises(MapError, match="no build has put there"):
        Journal(tmp_path / "work", "drive")
    assert {path.name: path.read_text() for path in (tmp_path / "work").iterdir()} == content


def test_all_work_is_removed_and_the_folder_stays(tmp_path: Path) -> None:
    _write(tmp_path / "work")
    Journal(tmp_path / "work", "drive").remove()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_follows_a_damaged_line_of_the_journal_is_done_again(tmp_path: Path) -> None:
    _write(tmp_path / "work")
    journal = tmp_path / "work" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + "\x00\x00\x00\n" + "".join(lines[2:]))
    assert [entry.name for entry in _resumed(tmp_path / "work").entries] == ["0"]
