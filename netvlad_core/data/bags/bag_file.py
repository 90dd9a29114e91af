"""A recording on disk: its topics and their messages, whatever the storage format.

rosbags' readers are used directly, with its own definitions of the standard messages: its `AnyReader` parses
the definitions of all types in the bag, and one foreign type that it cannot parse makes the bag unreadable.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from netvlad_core.errors import SourceError

STORAGE_SUFFIXES = (".mcap", ".db3", ".bag")

_REPAIRS = {
    ".mcap": "mcap recover BROKEN.mcap -o WHOLE.mcap",
    ".db3": "sqlite3 BROKEN.db3 .recover | sqlite3 WHOLE.db3",
    ".bag": "rosbag reindex BROKEN.bag",
}
_TF_DEFINITION = "geometry_msgs/TransformStamped[] transforms"


@dataclass(frozen=True, order=True)
class Topic:
    """A topic of a bag; the type is written as in ROS 1 and in talk, e.g. sensor_msgs/Image."""

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.count} message{'s' if self.count != 1 else ''})"


class RawMessage(NamedTuple):
    """A message as it lies in the bag; `received` in nanoseconds."""

    topic: str
    type: str
    received: int
    data: bytes


class BrokenMessage(SourceError):
    """A message whose bytes do not fit its type."""


class Bag:
    """A rosbag2 directory (sqlite3 or mcap, also compressed), a single .mcap or .db3 file, or a ROS 1 .bag.

    Use as a context manager; all errors of reading are SourceErrors that name the bag.

    Attributes
    ----------
    path : the directory or file.
    files : what it consists of on disk.
    topics : name to Topic, those without messages included.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = bag_files(path)
        self.topics: dict[str, Topic] = {}
        self._is_ros1 = self.files[0].suffix == ".bag"
        self._typestore = _typestore(self._is_ros1)
        self._stack = ExitStack()
        self._readers: list[Any] = []

    def __enter__(self) -> Bag:
        has_metadata = any(file.name == "metadata.yaml" for file in self.files)
        opened = [self.path] if has_metadata else self.files
        try:
            reader = Reader1 if self._is_ros1 else Reader2
            self._readers = [self._stack.enter_context(reader(file)) for file in opened]
            self.topics = self._list_topics()
        # Over a damaged file rosbags, SQLite and the decompressors raise errors of a dozen unrelated kinds.
        except Exception as error:
            self._stack.close()
            raise self._unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _list_topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        for connection in (c for reader in self._readers for c in reader.connections):
            count = topics[connection.topic].count if connection.topic in topics else 0
            short_type = connection.msgtype.replace("/msg/", "/")
            topics[connection.topic] = Topic(connection.topic, short_type, count + connection.msgcount)
        return topics

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Read the messages of some topics in the order of their recording, one at a time.

        Raises
        ------
        SourceError
            If the bag turns out to be damaged on the way.
        """
        streams = []
        for reader in self._readers:
            wanted = [connection for connection in reader.connections if connection.topic in topics]
            if wanted:
                streams.append(reader.messages(connections=wanted))
        count = 0
        try:
            for connection, received, data in heapq.merge(*streams, key=lambda message: message[1]):
                count += 1
                yield RawMessage(connection.topic, connection.msgtype, received, data)
        # As above.
        except Exception as error:
            where = f" after {count} messages of {', '.join(sorted(topics))}"
            raise self._unreadable(error, where) from error

    def decode(self, raw: RawMessage) -> Any:
        """Return the message with its fields; arrays of numbers are views of the raw bytes.

        Raises
        ------
        BrokenMessage
            If the bytes do not fit the type.
        """
        decode = self._typestore.deserialize_ros1 if self._is_ros1 else self._typestore.deserialize_cdr
        try:
            return decode(raw.data, raw.type)
        # The generated parsers of rosbags meet arbitrary bytes here and raise what Python gives them.
        except Exception as error:
            raise BrokenMessage(f"message of {len(raw.data)} bytes is no {raw.type}: {error}") from error

    def _unreadable(self, error: Exception, where: str = "") -> SourceError:
        storage = next((file for file in self.files if file.suffix in STORAGE_SUFFIXES), self.files[0])
        reason = (str(error) or type(error).__name__).rstrip(".")
        hint = "copy the bag again if the copy is damaged"
        if storage.suffix in _REPAIRS:
            hint += f"; if the recording was cut off, `{_REPAIRS[storage.suffix]}` saves what is there"
        return SourceError(f"cannot read the bag {self.path}{where}: {reason}; {hint}")


def is_bag(path: Path) -> bool:
    """Tell whether a path looks like a bag, whole or not."""
    if path.is_dir():
        return (path / "metadata.yaml").exists() or any(_storage_files(path))
    return path.suffix in STORAGE_SUFFIXES


def bag_files(path: Path) -> list[Path]:
    """List the files of a bag, the storage files of a directory without metadata.yaml too.

    Raises
    ------
    SourceError
        If there is no bag.
    """
    if path.is_dir():
        files = sorted(path.iterdir()) if (path / "metadata.yaml").exists() else _storage_files(path)
        files = [file for file in files if file.is_file()]
        kinds = {file.suffix for file in files if file.suffix in STORAGE_SUFFIXES}
        if files and len(kinds) < 2:
            return files
        problem = f"mixes {' and '.join(sorted(kinds))} files: name one" if kinds else "holds no bag"
    elif not path.exists():
        problem = "does not exist"
    elif path.suffix in STORAGE_SUFFIXES:
        return [path]
    else:
        problem = "is no bag by its name"
    expected = "expected a rosbag2 directory, a .mcap or .db3 file, or a ROS 1 .bag"
    raise SourceError(f"{path} {problem}; {expected}")


def _storage_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in STORAGE_SUFFIXES)


def _typestore(is_ros1: bool) -> Any:
    """Return definitions of the standard messages; those that are read here never differed in ROS 2."""
    store = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
    for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
        if name not in store.fielddefs:
            store.register(get_types_from_msg(_TF_DEFINITION, name))
    return store
