"""A process ends without a traceback when it is told to, at any moment."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

pytest.importorskip("rclpy")
from support.robot import wait_until

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


def test_signal_in_a_finalizer_ends_it_too(tmp_path):
    kill = _TOLD.format(signal="SIGINT").replace("\n", "\n        ").rstrip()
    module = f"class Gone:\n    def __del__(self):\n        {kill}\nGone()\ndef main():\n    return 7\n"
    done = _run(tmp_path, module)
    assert (done.returncode, done.stderr) == (0, "")


def test_signal_that_a_library_swallows_ends_it_too(tmp_path):
    kill = _TOLD.format(signal="SIGINT").replace("\n", "\n    ").rstrip()
    module = f"try:\n    {kill}\nexcept BaseException:\n    pass\ndef main():\n    return 7\n"
    done = _run(tmp_path, module)
    assert (done.returncode, done.stderr) == (0, "")


def _hears_signals(process: subprocess.Popen[str]) -> bool:
    """Whether our handlers are there: before them Python starts, which nobody can do anything about."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("executable", ["localize_node", "loop_closure_node"])
@pytest.mark.parametrize("endings", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_node_ends_cleanly_at_any_moment(programs, map_path, executable, endings, seconds):
    """While it imports, reads the network, listens, ends; a launch file sends each Ctrl-C a second time."""
    options = ["-p", f"weights:={map_path / 'model.safetensors'}", "-p", f"map:={map_path}"]
    command = [sys.executable, str(programs / executable), "--ros-args", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: _hears_signals(process), 20, "the handlers")
    sleep(seconds)
    for ending in endings:
        process.send_signal(ending)
        sleep(0.05)
    log, _ = process.communicate(timeout=20)
    assert process.returncode == 0, log
    for word in ("Traceback", "[ERROR]", "Failed to complete transition"):
        assert word not in log, log
