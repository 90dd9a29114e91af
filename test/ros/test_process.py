"""A process ends without a traceback when it is told to, even in the middle of an import in C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

_START = """
import sys
from netvlad_ros.process import run_module
sys.exit(run_module("told"))
"""
_TOLD = "import os, signal\nos.kill(os.getpid(), signal.{signal})\n"


def _run(folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    (folder / "told.py").write_text(module)
    start = f"import sys\nsys.path.insert(0, {str(folder)!r})\n{_START}"
    return subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_it_ends_quietly_while_it_imports(tmp_path, number):
    done = _run(tmp_path, _TOLD.format(signal=number))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_import_that_turns_the_signal_into_another_error_is_quiet_too(tmp_path, number):
    kill = _TOLD.format(signal=number).replace("\n", "\n    ").rstrip()
    module = f"try:\n    {kill}\nexcept KeyboardInterrupt:\n    raise ImportError('initialization failed')\n"
    done = _run(tmp_path, module)
    assert (done.returncode, done.stderr) == (0, "")


def test_error_without_a_signal_is_not_hidden(tmp_path):
    done = _run(tmp_path, "raise ImportError('there is no rclpy')\n")
    assert done.returncode == 1
    assert "there is no rclpy" in done.stderr
