"""What commands print: figures, what was left out, and the end of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netvlad_core.commands.output import MOSTLY_LEFT_OUT, finish, print_values


def test_values_fit_the_terminal_and_what_is_unknown_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    values: dict[str, Any] = {
        "map_id": "campus", "source": "word " * 30, "history": [], "origin": None, "skipped": {},
        "bytes": 1_300_681, "spacing": 3.0583, "extent": {"x": [-1.5, 2.0]}, "has_camera": False,
        "files": {"a.npy": {"bytes": 704}},
    }  # fmt: skip
    print_values(values, is_json=False)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 70
    for words in ("bytes  1.3 MB", "spacing  3.058 m", "x -1.5 to 2 m", "camera  no", "a.npy (704 bytes)"):
        assert words in text
    assert not any(word in text for word in ("history", "origin", "skipped"))
    print_values(values, is_json=True)
    assert json.loads(capsys.readouterr().out) == values


@pytest.mark.parametrize(
    ("used", "left_out", "total", "status"),
    [
        (10, {}, 10, 0),
        (5, {"broken": 5}, 10, 0),
        (4, {"broken": 6}, 10, MOSTLY_LEFT_OUT),
        (0, {}, 0, 0),
        (0, {"broken": 3, "odd": 1}, None, MOSTLY_LEFT_OUT),
        (3, {"message of odometry": 900}, 3, 0),
    ],
)
def test_the_end_of_a_run(
    used: int, left_out: dict[str, int], total: int | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finish(used, left_out, total=total, remark="clocks differ") == status
    out, err = capsys.readouterr()
    assert ("left out: " in out) == bool(left_out)
    assert ("images were left out" in err and "clocks differ" in err) == (status != 0)
    assert finish(used, left_out, is_json=True, total=total) == status
    assert capsys.readouterr().out == ""
