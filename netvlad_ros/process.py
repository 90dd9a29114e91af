"""The process of a program: it runs what its name says, and a node ends without a traceback at any moment.

Nothing heavy is imported here, so that signals are heard from the first moment.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

from netvlad_core.machine import let_idle_threads_sleep

# Exit status of a start that cannot work however often it is tried: arguments or parameters are wrong. A
# supervisor tells it from 1, or a signal, of a program that has crashed; 0 is that of a program told to end.
CANNOT_START = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_told: list[int] = []  # the signal that told the process to end


def run(arguments: list[str]) -> int:
    """Run the node or the subcommand of `netvlad` that the first argument names; returns the exit status."""
    let_idle_threads_sleep()
    name = Path(arguments[0]).name
    if name.endswith("_node"):
        return run_module(f"netvlad_ros.{name}")
    from netvlad_core import cli

    return cli.main([name.replace("_", "-"), *without_ros_arguments(arguments[1:])])


def run_module(module: str) -> int:
    """Import a module and run its `main`; returns the exit status."""
    try:
        end_when_told()
        main = import_module(module).main
        return 0 if is_told() else int(main())
    except KeyboardInterrupt:
        return 0
    except Exception:
        if is_told():  # an import in C that is interrupted says "initialization failed"
            return 0
        raise


def end_when_told() -> None:
    """Raise KeyboardInterrupt in the main thread on the first SIGINT or SIGTERM, and ignore all others.

    A launch file sends a second one, which must find neither the end of the node nor that of Python.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for ignored in _SIGNALS:
            signal.signal(ignored, signal.SIG_IGN)
        _told.append(number)
        raise KeyboardInterrupt

    def tell(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):  # raised in a finalizer it goes nowhere
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = tell
    for number in _SIGNALS:
        signal.signal(number, stop)


def is_told() -> bool:
    """Whether the process is to end; libraries may swallow the KeyboardInterrupt that says so."""
    return bool(_told)


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
