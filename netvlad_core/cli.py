"""The command `netvlad`: a subcommand per operation; only parses, calls and prints.

A subcommand is a module of `netvlad_core.commands`. The first paragraph of its docstring is the summary, the
last one an example; `add_arguments` declares what it takes, and `run` returns the exit status, None for 0. It
imports what needs torch when it runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from traceback import print_exc

from netvlad_core import __version__
from netvlad_core.errors import NetvladError
from netvlad_core.machine import keep_freed_memory, let_idle_threads_sleep
from netvlad_core.progress import stop_at_ctrl_c

COMMANDS = (
    "demo-map", "build-map", "build-maps", "localize", "evaluate", "report", "calibrate", "map", "fleet",
    "inspect", "fit", "train", "evaluate-set", "dataset", "export", "precision", "import-weights",
    "fetch-weights",
)  # fmt: skip
# Packages of modules that have another name there.
_PACKAGES = {"torch": "torch torchvision", "cv2": "opencv-python-headless", "faiss": "faiss-cpu"}
_NOTHING_ASKED = 2  # as argparse says it of every wrong command line
_INTERRUPTED = 130
_PIPE_CLOSED = 141  # as a shell says it of a program that SIGPIPE has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `netvlad` with these arguments; returns the exit status."""
    let_idle_threads_sleep()
    stop_at_ctrl_c()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name may be no text in this encoding
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    _complete(parser)
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return _NOTHING_ASKED
    options = parser.parse_args(arguments)
    keep_freed_memory()
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough, as in `netvlad inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        return _PIPE_CLOSED
    except (NetvladError, OSError) as error:
        if options.debug:
            print_exc()
        print(f"{options.program}: {_sentence(error)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("netvlad_core"):
            raise
        package = _PACKAGES.get(error.name, error.name)
        reason = f"this needs the Python module {error.name}, which is not installed: pip install {package}"
        print(f"{options.program}: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{options.program}: stopped", file=sys.stderr)
        return _INTERRUPTED


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that completes a command line; it asks by a variable."""
    if "_ARGCOMPLETE" in os.environ:
        try:
            import argcomplete
        except ModuleNotFoundError:
            return
        argcomplete.autocomplete(parser)


def _sentence(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{where}{error.strerror}"


def _parser() -> argparse.ArgumentParser:
    # This imports NumPy, which reads what `let_idle_threads_sleep` sets.
    from netvlad_core.commands import arguments

    parser = argparse.ArgumentParser(
        prog="netvlad", description="Visual place recognition: build a map from a drive, find images in it."
    )
    parser.add_argument("--version", action="version", version=f"netvlad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments.add_commands(commands, COMMANDS, "netvlad_core.commands")
    return parser
