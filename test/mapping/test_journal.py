"""The journal of a build: what it does not name was not done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.journal import Entry, Journal

_DIMENSION = 5


def _write(folder: Path, key: str = "drive", places: int = 3) -> list[np.ndarray]:
    """A journal with this many places and one broken frame; returns the descriptors."""
    journal = Journal(folder, key)
    journal.resume(_DIMENSION)
    rows = [np.full(_DIMENSION, index, np.float32) for index in range(places)]
    for index, row in enumerate(rows):
        journal.image_end += 10
        journal.append([Entry(f"{index}", index, None, journal.image_end)], [row], [bytes(10)])
    journal.append([Entry("broken", 99, error="truncated")], [], [])
    journal.close()
    return rows


def _resumed(folder: Path, key: str = "drive") -> Journal:
    journal = Journal(folder, key)
    journal.resume(_DIMENSION)
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


def test_line_of_the_journal_that_is_damaged_starts_the_work_anew(tmp_path: Path) -> None:
    _write(tmp_path / "work")
    journal = tmp_path / "work" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + "\x00\x00\x00\n" + "".join(lines[2:]))
    assert _resumed(tmp_path / "work").entries == []
