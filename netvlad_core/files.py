"""Files and folders that are replaced whole or not at all."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def replace_directory(new: Path, target: Path) -> None:
    """Put a finished folder in the place of another one, on the same file system.

    At every instant `target` is the old folder or the new one (or, on systems without an atomic exchange, for
    an instant missing while the old one stands beside it as `.<name>.previous`).
    """
    _sync(new)
    if not target.exists():
        new.rename(target)
        return
    previous = target.with_name(f".{target.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if _exchange(new, target):
        new.rename(previous)
    else:
        target.rename(previous)
        new.rename(target)
    shutil.rmtree(previous)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux renameat2); False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
