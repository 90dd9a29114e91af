"""The command `netvlad`: a subcommand per operation; only parses, calls and prints.

A subcommand imports what needs torch when it runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Protocol

from netvlad_core import __version__
from netvlad_core.commands import (
    build_map,
    calibrate,
    dataset,
    evaluate,
    evaluate_set,
    export,
    fetch_weights,
    fit,
    import_weights,
    inspect,
    localize,
    precision,
    train,
)
from netvlad_core.errors import NetvladError
from netvlad_core.memory import keep_freed_memory


class Command(Protocol):
    """A module of `commands`; `run` returns the exit status, None for 0."""

    SUMMARY: str
    REMARK: str
    EXAMPLE: str

    def add_arguments(self, command: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int | None: ...


_COMMANDS: dict[str, Command] = {
    "build-map": build_map,
    "fit": fit,
    "train": train,
    "localize": localize,
    "evaluate": evaluate,
    "evaluate-set": evaluate_set,
    "calibrate": calibrate,
    "dataset": dataset,
    "export": export,
    "precision": precision,
    "inspect": inspect,
    "import-weights": import_weights,
    "fetch-weights": fetch_weights,
}
_INTERRUPTED = 130
_COLUMNS = 76
_CONTINUED = " \\\n      "  # a command of the shell, on its next line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `netvlad` with these arguments; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name may be no text in this encoding
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    keep_freed_memory()
    try:
        return options.run(options) or 0
    except (NetvladError, OSError) as error:
        print(f"netvlad {options.command}: {_sentence(error)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("netvlad_core"):
            raise
        print(
            f"netvlad {options.command}: this needs the Python module {error.name}, which is not installed",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"\nnetvlad {options.command}: stopped", file=sys.stderr)
        return _INTERRUPTED


def _sentence(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{where}{error.strerror}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netvlad", description="Visual place recognition: build a map from a drive, find images in it."
    )
    parser.add_argument("--version", action="version", version=f"netvlad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        _add(commands, name, module)
    return parser


def _wrapped(text: str, joint: str = "\n") -> str:
    """Each line cut to fit a terminal of 80 columns, on a deeper level where it is one of a list."""
    cut = textwrap.TextWrapper(_COLUMNS, break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in text.splitlines():
        cut.subsequent_indent = "    " if line.startswith(" ") else ""
        lines.append(joint.join(cut.wrap(line)))
    return "\n".join(lines).rstrip()


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, module: Command) -> None:
    summary = module.SUMMARY
    command = commands.add_parser(
        name,
        help=summary,
        description=_wrapped(f"{summary[0].upper()}{summary[1:]}. {module.REMARK}"),
        epilog=f"example:\n  {_wrapped(module.EXAMPLE, _CONTINUED)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    command.set_defaults(run=module.run)
