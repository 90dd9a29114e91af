"""The process of a node: it ends without a traceback whenever it is told to, also while it imports.

Nothing heavy is imported here, so that signals are heard from the first moment.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_told: list[int] = []  # signals that told the process to end


def run_module(module: str) -> int:
    """Import a module and run its `main`; returns the exit status."""
    try:
        end_when_told()
        return int(import_module(module).main())
    except KeyboardInterrupt:
        return 0
    except Exception:
        if _told:  # an import in C that is interrupted says "initialization failed"
            return 0
        raise


def end_when_told() -> None:
    """Raise KeyboardInterrupt in the main thread on the first SIGINT or SIGTERM, and on no further one."""

    def stop(number: int, frame: FrameType | None) -> None:
        _told.append(number)
        if len(_told) == 1:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, stop)


def say(program: str, error: object) -> None:
    """Print one sentence about an error, whatever the library behind it appended to it."""
    text = str(error).split(", at ./")[0].split(", at /")[0]
    print(f"{program}: {' '.join(text.split())}", file=sys.stderr)


def without_ros_arguments(arguments: list[str]) -> list[str]:
    """Drop what ros2 adds for nodes: all between `--ros-args` and `--` or the end of the line."""
    kept: list[str] = []
    inside = False
    for argument in arguments:
        if argument == "--ros-args":
            inside = True
        elif inside and argument == "--":
            inside = False
        elif not inside:
            kept.append(argument)
    return kept
