"""Programs leave the cores to others before any library has begun its threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_VARIABLES = ("OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")
# What a library would read at the moment in which NumPy is first looked for.
_SEEN_BY_NUMPY = f"""
import json, os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(json.dumps([os.environ.get(variable) for variable in {_VARIABLES}]), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
"""
_COMMAND = "from netvlad_core.cli import main; main(['inspect', 'nowhere'])"
_NODE = "from netvlad_ros.process import run; run(['localize_node'])"


def _seen(program: str, **variables: str) -> list[str | None]:
    environment = {name: value for name, value in os.environ.items() if name not in _VARIABLES} | variables
    command = [sys.executable, "-c", _SEEN_BY_NUMPY + program]
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_a_command_sets_them_and_keeps_those_of_the_user() -> None:
    assert _seen(_COMMAND) == ["PASSIVE", "4"]
    assert _seen(_COMMAND, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE", "4"]


def test_a_node_sets_them() -> None:
    pytest.importorskip("rclpy")
    assert _seen(_NODE) == ["PASSIVE", "4"]
