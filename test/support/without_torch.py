"""Programs that run as if torch and what belongs to it were not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
# Looked for and not found.
_BLOCKED = """
import sys
from importlib.machinery import PathFinder
class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        blocked = name.split(".")[0] in ("torch", "torchvision", "onnx", "onnxscript")
        return None if blocked else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
"""
COMMAND = "from netvlad_core.cli import main; sys.exit(main(sys.argv[1:]))"
NODE = "from netvlad_ros.process import run; del sys.argv[0]; sys.exit(run(sys.argv))"


def program_without_torch(program: str, *arguments: object) -> list[str]:
    """Command line of a Python program."""
    return [sys.executable, "-c", _BLOCKED + program, *map(str, arguments)]


def without_torch(program: str, *arguments: object) -> str:
    """Run a Python program to its end; returns what it printed."""
    command = program_without_torch(program, *arguments)
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
