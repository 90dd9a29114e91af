"""A progress bar appears in a terminal, and nowhere else."""

from __future__ import annotations

import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from netvlad_core.progress import bar


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "show", "appears"), [(_Terminal, True, True), (_Terminal, False, False), (StringIO, True, False)]
)
def test_where_a_bar_appears(
    kind: type[StringIO], show: bool, appears: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(bar(range(3), "reading", show=show)) == [0, 1, 2]
    assert ("reading" in stream.getvalue() and "3/3" in stream.getvalue()) == appears
    assert bool(stream.getvalue()) == appears


def test_a_continued_download_counts_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with bar(title="weights.pth", total=3_000_000, unit="B", done=1_000_000) as shown:
        shown.update(2_000_000)
    first, last = stream.getvalue().split("\r")[1], stream.getvalue().split("\r")[-1]
    assert "1.00M/3.00M" in first
    assert "3.00M/3.00M" in last


_SWALLOWS = """
import os, signal
from netvlad_core.progress import bar, stop_at_ctrl_c
stop_at_ctrl_c()
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100_000))  # here Python raises KeyboardInterrupt, and drops it
for item in bar(range(3)):
    print(item, flush=True)
    Finalized()
"""


def test_ctrl_c_that_a_finalizer_swallows_ends_the_work() -> None:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", _SWALLOWS], cwd=root, capture_output=True, text=True)
    assert done.stdout == "0\n"
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
