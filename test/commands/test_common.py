"""What the commands share: types of arguments, settings from three places, and the end of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from netvlad_core.cli import COMMANDS, _parser
from netvlad_core.commands.common import (
    MOSTLY_LEFT_OUT,
    at_least,
    finish,
    localizer_options,
    output_file,
    path,
    positive,
    print_values,
)

_PATHS = ("MAP", "SOURCE", "FILE", "MAP|FILE", "DIR", "CSV", "YAML", "TUM", "PATH", "WEIGHTS")


def test_types_of_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a user"
    monkeypatch.setenv("HOME", str(home))
    assert path("~/maps/#1 100%/") == home / "maps/#1 100%"
    assert output_file("~/a.csv") == home / "a.csv"
    assert (positive("0.5"), at_least(2)("2")) == (0.5, 2)
    for kind, text, words in (
        (path, "", "expected the name of a file or folder"),
        (path, "~nobody-here/x", "there is no user nobody-here"),
        (output_file, "folder/", "names a folder"),
        (positive, "nan", "expected a number above 0, found nan"),
        (positive, "inf", "expected a number above 0, found inf"),
        (positive, "-1", "expected a number above 0, found -1"),
        (at_least(2), "1", "expected a whole number from 2, found 1"),
        (at_least(0), "1.5", "expected a whole number from 0"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            kind(text)


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


def _options(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(["localize", "map", "drive", "--output", "x.csv", *arguments])


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(
        "/**:\n  ros__parameters: {min_similarity: 0.4, top_k: 3, sequence_filter: true, min_inliers: 50}\n"
    )
    usual, file = localizer_options(_options()), localizer_options(_options("--params", str(params)))
    assert (usual.min_similarity, usual.top_k, usual.verification) == (None, 10, None)
    assert (file.min_similarity, file.top_k, file.verification) == (0.4, 3, None)
    given = ("--min-similarity", "0.6", "--single-image", "--verify")
    both = localizer_options(_options("--params", str(params), *given))
    assert (both.min_similarity, both.top_k, both.sequence_filter) == (0.6, 3, False)
    assert both.verification is not None
    assert both.verification.min_inliers == 50
    assert (
        localizer_options(_options("--params", str(params), "--min-similarity", "-1")).min_similarity is None
    )


def test_every_command_takes_paths_with_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that only the shell would expand is the commonest one to fail behind quotes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    subparsers = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name in COMMANDS:
        for action in subparsers.choices[name]._actions:
            if action.metavar in _PATHS:
                assert action.type is not None, (name, action.dest)
                found = action.type("~/x")
                assert found == tmp_path / "x", (name, action.dest)


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
