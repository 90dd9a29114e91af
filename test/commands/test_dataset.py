"""`netvlad dataset check`: what it prints, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.place_sets import at_name, write_picture


def _check(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> str:
    assert main(["dataset", "check", str(path), "--quiet", *options]) == 0
    return capsys.readouterr().out


def test_what_is_said_of_a_collection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        write_picture(tmp_path / "database" / at_name(30 * number, 0), number)
    for number in range(5):  # the same pictures, a metre beside, and far from everything
        write_picture(tmp_path / "queries" / at_name(30 * number + (1 if number < 2 else 5000), 0), number)
    title, rows = "", dict[str, list[str]]()
    for line in _check(capsys, tmp_path).splitlines()[2:-1]:
        title = line[:12].strip() or title
        rows.setdefault(title, []).append(line[13:])
    assert rows["images"] == ["6 in the database, 5 queries", "11 of 32 x 24 pixels"]
    assert rows["missing"] == rows["broken"] == rows["headings"] == ["none"]
    assert rows["positions"] == ["5120 m by 0 m"]
    assert rows["positives"] == ["0 / 0 / 1 (min / median / max) for a query within 10 m"]
    assert rows["negatives"] == ["5 / 6 / 6 (min / median / max) for a query beyond 25 m"]
    assert rows["unreachable"] == [
        "3 of 5 queries",
        *(f"queries/{at_name(30 * number + 5000, 0)}" for number in (2, 3, 4)),
    ]
    # Of a long list the first three are named.
    assert rows["leaks"][0] == "5 of 5 queries, equal to files of the database"
    assert rows["leaks"][-1] == "... and 2 more; --json names all"


def test_other_actions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "repair", str(tmp_path)])
    assert ended.value.code == 2
    assert "invalid choice: 'repair'" in capsys.readouterr().err
