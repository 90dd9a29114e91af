"""Paths of users, and outputs: whole or not at all, and never over an input or a stranger's file."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from netvlad_core.errors import NetvladError

_HIDDEN, _PARTIAL = ".netvlad-", "partial"
_MOST = 2**29  # bytes of a file that is read whole: a picture, a table
_NEW = 60.0  # seconds in which a process has put something into the folder it made
# Bytes at the beginning and end of a file in which a mark is looked for; ONNX files have theirs near the end.
_HEAD, _TAIL = 1024, 16_384
_MAP, _MAP_MARK = "map.json", "netvlad_ros place map"
# Of renameat2(2).
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def user_path(path: Path | str) -> Path:
    """Path as a user writes it, on a command line, in a file or in a request: `~` and `~name` are homes.

    Raises
    ------
    NetvladError
        If the text is empty, or names the home of a user that does not exist.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise NetvladError(f"expected the name of a file or folder, found {text!r}")
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError as error:
        if os.path.lexists(path):  # a file whose name begins with the sign
            return path
        raise NetvladError(f"{text}: there is no user {path.parts[0][1:]} with a home folder") from error


def sendable(text: str) -> str:
    """The text with odd bytes of a path written out, which neither a ROS message nor a log can carry."""
    return text.encode(errors="backslashreplace").decode()


def read_file(path: Path, most: int = _MOST) -> bytes:
    """Content of a file that a user names.

    Raises
    ------
    OSError
        If it cannot be read, has more than `most` bytes, or is a pipe or a device, which may have no end.
    """
    try:
        status = path.stat()
    except ValueError as error:  # a null byte in the name
        raise OSError(errno.EINVAL, f"no file can have this name ({error})", str(path)) from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    if status.st_size > most and stat.S_ISREG(status.st_mode):
        raise OSError(errno.EFBIG, f"has more than {most} bytes", str(path))
    return path.read_bytes()  # of a folder the system says what it is


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
        If an output is an input, a folder or a file without the mark, lies in a map, or cannot be created.
    """
    read = [path for path in inputs if path is not None and path.exists()]
    for output, mark in outputs.items():
        for path in read if output.exists() else ():
            if output.samefile(path):
                raise NetvladError(f"{output} is read by this command, too ({path}); choose another output")
        if (around := enclosing_map(output)) and output.suffix != ".onnx":  # which belongs to its network
            raise NetvladError(f"{output} lies in the map {around}; choose another place for it")
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


def enclosing_map(path: Path) -> Path | None:
    """The map that a path lies in, if any: with something else in its folder it could not be replaced."""
    for folder in path.resolve().parents:
        header = folder / _MAP
        with suppress(OSError):  # a map.json that may not be read is of somebody else
            if header.is_file() and header.stat().st_size and _is_ours(header, _MAP_MARK):
                return folder
    return None


def _is_ours(path: Path, mark: str) -> bool:
    if not path.is_file():  # a device or a pipe
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - _TAIL))
        return not head or mark.encode() in head + file.read()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Name to write a file at, which replaces `path` when the block ends; nothing does if the block fails.

    If `path` is a link, its target is replaced. What killed processes have left beside it is removed.
    """
    target = path.resolve()
    with hidden_beside(target) as folder:
        partial = folder / f"{_PARTIAL}{target.suffix}"
        partial.touch()
        yield partial
        _sync(partial)
        partial.replace(target)


@contextmanager
def hidden_beside(target: Path) -> Iterator[Path]:
    """An empty folder, on the file system of `target`, for what is to take its place; removed in the end.

    Whatever it is to hold is named `partial`, so that the next run removes it if this one is killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for earlier in target.parent.glob(f"{_HIDDEN}*"):
        with suppress(OSError):
            _remove_abandoned(earlier)
    folder = target.parent / f"{_HIDDEN}{uuid4().hex}"  # named before it exists: Ctrl-C may come right after
    try:
        folder.mkdir(mode=0o700)
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sole_writer(output: Path) -> Iterator[Path]:
    """Keep others from writing the same output, in this process and in all others, until the block ends.

    Gives the folder `.<name>.partial` beside the output, for work that a later run may continue. If it is
    empty in the end, it goes. On a file system without locks nobody is kept away.

    Raises
    ------
    NetvladError
        If somebody else writes the output, something else stands in the place of the folder, or the output
        lies in a map or has a name of unfinished work.
    OSError
        If the block raises it; without a name it gets that of the output.
    """
    output = output.resolve()
    if output.name.startswith(_HIDDEN) or (output.name[:1], output.suffix) == (".", f".{_PARTIAL}"):
        raise NetvladError(f"{output} is a name for unfinished work; choose another one")
    if around := enclosing_map(output):
        raise NetvladError(f"{output} lies in the map {around}; choose a folder beside it")
    work = output.parent / f".{output.name}.{_PARTIAL}"
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_alone(work, output)
    try:
        yield work
    except OSError as error:  # of a file that is open already, e.g. when the disk is full
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(output)) from error
    finally:
        with suppress(OSError):  # it holds work
            work.rmdir()
        os.close(lock)


def _lock_alone(work: Path, output: Path) -> int:
    """Make and lock a folder; returns the descriptor that holds the lock."""
    while True:
        with suppress(FileExistsError):
            work.mkdir()
        try:
            lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:  # another writer is done and has removed it
            continue
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise NetvladError(
                f"{work} is in the way: it is no folder; move it or choose another output"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise NetvladError(
                f"another build of {output.name} is running, or another program writes to {output}; wait "
                "until it is done, or choose another output"
            ) from error
        except OSError:  # a file system without locks
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), work.stat()):
                return lock
        os.close(lock)  # of a folder that another writer has removed


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process got the lock of a folder; the system releases it when the process dies.

    File systems without locks never give one, so nothing on them counts as abandoned.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder of `written_whole` that no living process has locked; a young, empty one may be new."""
    names = [path.name for path in folder.iterdir()]
    is_new = not names and time.time() - folder.stat().st_mtime < _NEW
    if all(name.startswith(_PARTIAL) for name in names) and not is_new and not folder.is_symlink():
        with _locked(folder) as is_abandoned:
            if is_abandoned:
                shutil.rmtree(folder)


def sha256_of(path: Path, count: int | None = None) -> str:
    """Hexadecimal sha256 of a file's content, or of its first `count` bytes."""
    digest = hashlib.sha256()
    left = path.stat().st_size if count is None else count
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def replace_directory(new: Path, target: Path) -> None:
    """Put a finished folder in the place of another one, which is removed, on the same file system.

    At every instant `target` is the old folder or the new one. On systems without an atomic exchange it is
    missing for an instant, while the old one is beside the new one as `previous-<name of the new one>`.
    """
    for path in [*new.iterdir(), new]:
        _sync(path)
    previous = new
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        previous = new.with_name(f"previous-{new.name}")
        target.rename(previous)
        new.rename(target)
    _sync(target.parent)
    shutil.rmtree(previous, ignore_errors=True)  # NFS keeps files that somebody has open


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux renameat2); False if the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0


def _sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
