"""The table of a run that goes on: whole rows are kept, and what is lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.training.metrics import COLUMNS, Metrics

_ROWS = ["1,1,0.5,3,2,0.001,,,", "2,1,0.25,2,2,0.001,,,", "2,1,,,,,0.5,0.75,1.0"]


def begin(folder: Path, rows: int, checksum: str = "") -> tuple[Metrics, list[str]]:
    said: list[str] = []
    metrics = Metrics(folder, rows, checksum, said.append)
    return metrics, [line for line in said if str(folder) in line]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (None, 0),
        ("", 0),
        ("\0" * 300, 0),
        ("{head}\n{0}\n", 1),
        ("{head}\n{0}\n2,1,0.2", 1),
        ("{head}\n{0}\n2,1,much,2,2,0.001,,,\n{2}\n", 1),
        ("{0}\n{1}\n{2}\n", 0),
    ],
    ids=["gone", "empty", "zeros", "cut", "cut in a row", "no number", "no head"],
)
def test_a_lost_row_is_said_and_the_rest_goes_on(content: str | None, kept: int, tmp_path: Path) -> None:
    path, head = tmp_path / "metrics.csv", ",".join(COLUMNS)
    if content is not None:
        path.write_text(content.format(*_ROWS, head=head))
    metrics, said = begin(tmp_path, rows=3)
    assert said == [f"{path} has only {kept} of its 3 rows left; table and curves lack the rest"]
    metrics.add({"step": 3, "epoch": 2, "loss": 0.125})
    assert path.read_text().splitlines() == [head, *_ROWS[:kept], "3,2,0.125,,,,,,"]
    assert metrics.rows == kept + 1
    metrics.draw()


def test_rows_after_the_state_are_dropped_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join([",".join(COLUMNS), *_ROWS]) + "\n1,1,0.")
    metrics, said = begin(tmp_path, rows=2)
    assert (metrics.rows, said) == (2, [])
    assert path.read_text().splitlines()[1:] == _ROWS[:2]


def test_a_row_that_became_another_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics, _ = begin(tmp_path, rows=0)
    for step in (1, 2):
        metrics.add({"step": step, "epoch": 1, "loss": 0.5})
    assert begin(tmp_path, 2, metrics.checksum)[1] == []
    path.write_text(path.read_text().replace("2,1,0.5", "2,1,0.6"))
    changed, said = begin(tmp_path, 2, metrics.checksum)
    assert said == [f"{path} is not as this run has written it; its rows are kept as they are now"]
    assert changed.checksum != metrics.checksum
    changed.draw()


@pytest.mark.parametrize("value", ["nan", "inf", "1e308", "9" * 400])
def test_what_cannot_be_drawn_is_no_row(value: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(f"{','.join(COLUMNS)}\n{_ROWS[0]}\n2,1,{value},,,,,,\n")
    assert begin(tmp_path, rows=2)[0].rows == 1
