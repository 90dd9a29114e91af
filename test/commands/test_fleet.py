"""Every action of `netvlad fleet` has a help with an example that is a command of this program."""

from __future__ import annotations

import shlex

import pytest

from netvlad_core.cli import _parser, main
from netvlad_core.commands.fleet import _ACTIONS


@pytest.mark.parametrize("action", _ACTIONS)
def test_help_has_an_example_that_parses(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fleet", action, "--help"])
    assert stop.value.code == 0
    words = shlex.split(capsys.readouterr().out.rpartition("example:")[2])
    assert words[:3] == ["netvlad", "fleet", action]
    assert _parser().parse_args(words[1:]).action == action
