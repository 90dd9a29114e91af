"""Files that commands write: never over an input or a stranger's file, and whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from netvlad_core.errors import NetvladError

# A mark of ours stands near the beginning of a file, or of an ONNX file near its end.
_HEAD, _TAIL = 1024, 16_384


def beside(table: Path, suffix: str) -> Path:
    """Name of a second output: the suffix is appended, or takes the place of `.csv` or `.yaml`."""
    known = table.suffix.lower() in (".csv", ".yaml", ".yml")
    return table.with_name((table.stem if known else table.name) + suffix)


def check_outputs(outputs: Mapping[Path, str], inputs: Iterable[Path | None]) -> None:
    """Refuse, before anything is computed, what would replace an input or a stranger's file.

    Parameters
    ----------
    outputs : files to write, each with the mark by which an earlier one of ours is known: text near its
        beginning or end. An earlier one, and an empty file, may be replaced.
    inputs : files and folders that are read; None is skipped.

    Raises
    ------
    NetvladError
        If an output is an input, a folder or a file without the mark, or cannot be created.
    """
    read = [path for path in inputs if path is not None and path.exists()]
    for output, mark in outputs.items():
        for path in read if output.exists() else ():
            if output.samefile(path):
                raise NetvladError(f"{output} is read by this command, too ({path}); choose another output")
        if output.is_dir():
            raise NetvladError(f"{output} is a folder; expected the name of a file to write")
        if output.exists() and not _is_ours(output, mark):
            raise NetvladError(
                f"{output} exists, and no earlier run has written it; choose another output, or remove it"
            )
        folder = next(parent for parent in output.absolute().parents if os.path.lexists(parent))
        if not folder.is_dir():
            raise NetvladError(f"{output} cannot be written: {folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise NetvladError(f"{output} cannot be written: no permission to write in {folder}")


def _is_ours(path: Path, mark: str) -> bool:
    if not path.is_file():  # a device or a pipe
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - _TAIL))
        return not head or mark.encode() in head + file.read()
