"""Types of arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from netvlad_core.cli import COMMANDS, _parser
from netvlad_core.commands.types import at_least, output_file, path, positive

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
