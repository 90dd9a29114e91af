"""A file of a map: read in parts as long as the map is open, and noticed when another program changes it."""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from netvlad_core.errors import MapError

_BLOCK = 1 << 20  # bytes in memory at a time


class StoredFile:
    """A regular file that stays open, even if its name is given to another one.

    It is not mapped into memory: cut short under a program that has mapped it, a file ends the program, and
    overwritten it passes for what was opened. A link is not followed: it may lead out of the map.

    Attributes
    ----------
    size : bytes.

    Raises
    ------
    MapError
        If it is missing, a link, a folder, a pipe or a device, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            named = path.lstat()
            if not stat.S_ISREG(named.st_mode):
                raise MapError(f"{path} is {_kind(named.st_mode)}; a map consists of regular files")
            # Should a pipe have taken its place just now, opening it does not wait.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise MapError(f"the map {path.parent} is damaged: {path.name} is missing") from error
        except (OSError, ValueError) as error:
            raise MapError(f"{path} cannot be opened: {error}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self._opened = self._state()
        self.size = self._opened[0]
        if not os.path.samestat(named, os.fstat(self._descriptor)):
            raise MapError(f"{path} is replaced just now; try again")

    def read(self, start: int = 0, count: int | None = None) -> bytes:
        """Some bytes, by default all; raises MapError if the file is no longer what was opened."""
        return self.read_parts([(start, self.size - start if count is None else count)])

    def read_parts(self, parts: Iterable[tuple[int, int]]) -> bytes:
        """Bytes of several parts (start, count), one after the other; raises MapError like `read`."""
        blocks = []
        try:
            for start, count in parts:
                if not 0 <= start <= start + count <= self.size:
                    raise MapError(f"{self.path} has {self.size} bytes; expected {start + count}")
                while count:  # the system reads no more than 2 GiB at once
                    block = os.pread(self._descriptor, count, start)
                    if not block:
                        raise self._changed()
                    blocks.append(block)
                    start, count = start + len(block), count - len(block)
        except OSError as error:
            raise MapError(f"{self.path} cannot be read: {error.strerror}") from error
        if self._state() != self._opened:
            raise self._changed()
        return b"".join(blocks)

    def sha256(self) -> str:
        """Hexadecimal sha256 of the content; raises MapError like `read`."""
        digest = hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
        return digest.hexdigest()

    def copy_to(self, path: Path) -> None:
        """Write the content to another file; raises MapError like `read`, OSError if it cannot be written."""
        with path.open("wb") as file:
            file.writelines(self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        for start in range(0, self.size, _BLOCK):
            yield self.read(start, min(_BLOCK, self.size - start))

    def _state(self) -> tuple[int, int]:
        """Size and time of the last change, which differ once somebody has written into the file."""
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def _changed(self) -> MapError:
        folder, name = self.path.parent, self.path.name
        return MapError(
            f"another program has changed the map {folder} since it was opened ({name}); open it again"
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
