"""The storage files of a recording, SQLite, MCAP or ROS 1, each with its topics and messages.

They are read without metadata.yaml: users edit it, and a recorder that was cut off never wrote it.
"""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from shlex import quote as quoted
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote

from rosbags.rosbag1 import Reader as Rosbag1Reader
from rosbags.rosbag2.storage_mcap import McapReader

from netvlad_core.data.bags.unpacking import unpack_file, unpacked_message
from netvlad_core.errors import SourceError

_SUFFIXES = (".mcap", ".db3", ".bag")
_ZSTD_SUFFIXES = (".zstd", ".zst")
_JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_WAL_HEADER = 32  # bytes
# The first statement takes over a write-ahead log, any query a rollback journal.
_MAKE_WHOLE = "PRAGMA wal_checkpoint(TRUNCATE); SELECT count(*) FROM messages"


class Channel(NamedTuple):
    """A topic in one storage file; the encoding of its messages is `cdr` in ROS 2 and `ros1` in ROS 1."""

    topic: str
    type: str
    encoding: str
    messages: int


class RawMessage(NamedTuple):
    """A message as it lies in the bag; `received` in nanoseconds."""

    topic: str
    type: str
    received: int
    data: bytes


def storage_suffix(file: Path) -> str:
    """Suffix of a storage file without that of its compression; empty for any other file."""
    name = file.with_suffix("") if file.suffix in _ZSTD_SUFFIXES else file
    return name.suffix if name.suffix in _SUFFIXES else ""


def open_storage(file: Path, stack: ExitStack) -> Storage:
    """Open a storage file until the stack is closed.

    Raises
    ------
    SourceError
        If part of its content lies in a journal beside it, or the disk has no room to unpack it.
    Exception
        Of a dozen unrelated kinds, if the file is damaged.
    """
    is_sqlite = storage_suffix(file) == ".db3"
    if file.suffix in _ZSTD_SUFFIXES:
        whole = Path(stack.enter_context(TemporaryDirectory()), file.stem)
        unpack_file(file, whole)
        file = whole
    if is_sqlite:
        _refuse_journal(file)
    return _Sqlite(file, stack) if is_sqlite else _Rosbags(file, stack)


def _refuse_journal(file: Path) -> None:
    """Raise SourceError for a database that is not whole without the journal that lies beside it."""
    log, journal = (file.with_name(file.name + end) for end in ("-wal", "-journal"))
    is_logged = log.is_file() and log.stat().st_size > _WAL_HEADER
    if is_logged or _is_hot(journal):
        raise SourceError(
            f"{(log if is_logged else journal).name} holds messages that {file} lacks: the recording "
            f"goes on or was cut off; once it has ended, run `sqlite3 {quoted(str(file))} '{_MAKE_WHOLE}'`"
        )


def _is_hot(journal: Path) -> bool:
    if not journal.is_file():
        return False
    with journal.open("rb") as content:
        return content.read(len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC


class _Sqlite:
    """A database of rosbag2; rosbags' reader takes no odd paths and no unknown definitions."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        address = f"file:{quote(os.fsencode(file.absolute()))}?immutable=1"
        self._database = sqlite3.connect(address, uri=True, check_same_thread=False)
        stack.callback(self._database.close)
        self._refuse_computed()
        rows = self._database.execute(
            "SELECT topics.id, name, type, serialization_format, count(messages.id) FROM topics "
            "LEFT JOIN messages ON topics.id = messages.topic_id GROUP BY topics.id"
        ).fetchall()
        if odd := next((row for row in rows if not all(isinstance(text, str) for text in row[1:4])), None):
            raise ValueError(f"the topic {odd[1]!r} has the type {odd[2]!r} and the encoding {odd[3]!r}")
        self.channels = [Channel(*row[1:]) for row in rows]
        self._ids = {row[0]: channel for row, channel in zip(rows, self.channels, strict=True)}

    def _refuse_computed(self) -> None:
        """Raise ValueError if anything that is read is a view or generated: those may go on without end."""
        for table in ("topics", "messages"):
            pages = self._database.execute(
                "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
            ).fetchone()
            columns = self._database.execute(f"PRAGMA table_xinfo({table})").fetchall()
            if not pages or not pages[0] or any(column[-1] for column in columns):
                raise ValueError(f"{table} is no table of stored values")

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        ids = [key for key, channel in self._ids.items() if channel.topic in topics]
        rows = self._database.execute(
            "SELECT topic_id, timestamp, data FROM messages "
            f"WHERE topic_id IN ({','.join('?' * len(ids))}) ORDER BY timestamp",
            ids,
        )
        for key, received, data in rows:
            if not isinstance(received, int) or not isinstance(data, bytes):
                raise ValueError(f"a message of {self._ids[key].topic} is not stored as time and bytes")
            yield RawMessage(self._ids[key].topic, self._ids[key].type, received, unpacked_message(data))


class _Rosbags:
    """An MCAP file or a ROS 1 bag, read by rosbags."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        self._reader: Any = _AnyMcap(file, stack) if file.suffix == ".mcap" else Rosbag1Reader(file)
        self._reader.open()
        stack.callback(self._reader.close)
        self.channels = [
            Channel(c.topic, c.msgtype, getattr(c.ext, "serialization_format", "ros1"), c.msgcount)
            for c in self._reader.connections
        ]

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        wanted = [connection for connection in self._reader.connections if connection.topic in topics]
        for connection, received, data in self._reader.messages(wanted) if wanted else ():
            yield RawMessage(connection.topic, connection.msgtype, received, unpacked_message(data))


Storage = _Sqlite | _Rosbags


class _AnyMcap(McapReader):
    """rosbags' reader without its refusals for what no message needs: profile, definitions, order."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        super().__init__(file)
        self.schemas = _NoDefinitions()
        self.bio = stack.enter_context(_OfRos2(io.FileIO(str(file))))

    def open(self) -> None:
        self._open()

    def messages(self, connections: Any, start: int | None = None, stop: int | None = None) -> Any:
        # Without an index messages come as they were written, nearly in order: clocks are judged later.
        read = super().messages if self.chunks else self.messages_scan
        return read(connections, start, stop)


class _NoDefinitions(dict[int, Any]):
    """Schemas without their notation: rosbags knows three, and refuses the file for any other."""

    def __setitem__(self, key: int, schema: Any) -> None:
        super().__setitem__(key, schema._replace(encoding=""))


class _OfRos2(io.BufferedReader):
    """An MCAP file whose header names the profile ros2: each channel tells its own encoding anyway."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.tell() - len(data) != 17:  # magic, kind and length come before the first record
            return data
        vars(self)["read"] = super().read  # what follows is read as it is, without this method
        return b"\x04\x00\x00\x00ros2".ljust(len(data), b"\0")
