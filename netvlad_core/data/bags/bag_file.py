"""A recording on disk: its topics and their messages, whatever the storage format.

rosbags' own definitions of the standard messages decode them, so that no foreign definition does harm.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from netvlad_core.data.bags.storage import RawMessage, Storage, open_storage, storage_suffix
from netvlad_core.errors import BrokenMessage, SourceError
from netvlad_core.files import read_file

_REPAIRS = {
    ".mcap": "mcap recover BROKEN.mcap -o WHOLE.mcap",
    ".db3": "sqlite3 BROKEN.db3 .recover | sqlite3 WHOLE.db3",
    ".bag": "rosbag reindex BROKEN.bag",
}
_METADATA = "metadata.yaml"
_NEWEST_METADATA = 9
_MOST_METADATA = 2**24  # bytes, of ten thousands of files
_TF_DEFINITION = "geometry_msgs/TransformStamped[] transforms"


@dataclass(frozen=True, order=True)
class Topic:
    """A topic of a bag; the type is short, e.g. sensor_msgs/Image."""

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.count} message{'s' if self.count != 1 else ''})"


class Bag:
    """A rosbag2 directory (sqlite3 or mcap, also compressed), a single .mcap or .db3 file, or a ROS 1 .bag.

    Use it as a context manager; all errors of reading are SourceErrors that name the bag.

    Attributes
    ----------
    path : directory or file.
    files : all its files on disk.
    topics : name to Topic, topics without messages included.
    remarks : sentences about differences between metadata.yaml and the storage, once the bag is open, and
        about messages that are missing, once they should have been read.
    missing : number of messages of each topic that the storage announces and that `messages` has not found.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remarks: list[str] = []
        self.missing: Counter[str] = Counter()
        self._announced: dict[str, int] | None = None
        self._storage_files = self._find_storage()
        metadata = path / _METADATA
        self.files = [*self._storage_files, *([metadata] if metadata.is_file() else [])]
        self.topics: dict[str, Topic] = {}
        self._is_ros1 = storage_suffix(self._storage_files[0]) == ".bag"
        self._typestore = _typestore(self._is_ros1)
        self._stack = ExitStack()
        self._storages: list[Storage] = []

    def __enter__(self) -> Bag:
        try:
            self._storages = [open_storage(file, self._stack) for file in self._storage_files]
        # Over a damaged file rosbags, SQLite and the decompressors raise errors of a dozen unrelated kinds.
        except Exception as error:
            self._stack.close()
            if isinstance(error, SourceError):
                raise
            raise self._unreadable(error) from error
        self._list_topics()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _list_topics(self) -> None:
        encoding = "ros1" if self._is_ros1 else "cdr"
        counts, found = Counter[tuple[str, str]](), Counter[str]()
        foreign = set()
        for channel in (channel for storage in self._storages for channel in storage.channels):
            found[channel.topic] += channel.messages
            if channel.encoding == encoding:
                counts[channel.topic, channel.type.replace("/msg/", "/")] += channel.messages
            else:
                foreign.add(f"{channel.topic} ({channel.type}, {channel.encoding})")
        self.topics = {name: Topic(name, kind, count) for (name, kind), count in counts.items()}
        if foreign and not self.topics:
            raise SourceError(
                f"{self.path} holds no messages in {encoding}, the encoding of ROS, but "
                f"{', '.join(sorted(foreign))}; record the topics in ROS 2, or give the ROS 1 .bag itself"
            )
        if foreign:
            self.remarks.append(f"{self.path}: not read, of other encodings: {', '.join(sorted(foreign))}")
        if self._announced is not None and dict(found) != self._announced:
            self.remarks.append(
                f"{_METADATA} of {self.path} announces {sum(self._announced.values())} messages on "
                f"{len(self._announced)} topics, its storage holds {sum(found.values())} on {len(found)}: "
                "reading the storage"
            )

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Read the messages of some topics in the order of their recording; raises SourceError on damage."""
        topics = [name for name in topics if name in self.topics]
        streams = [storage.messages(topics) for storage in self._storages]
        found = Counter[str]()
        try:
            for raw in heapq.merge(*streams, key=lambda message: message.received):
                found[raw.topic] += 1
                yield raw
        # See __enter__.
        except Exception as error:
            where = f" after {found.total()} messages of {', '.join(sorted(topics))}"
            raise self._unreadable(error, where) from error
        self._compare(found, topics)

    def _compare(self, found: Counter[str], topics: Collection[str]) -> None:
        """Note what is missing: over a hole in a file without checksums its reader passes in silence."""
        for topic in (self.topics[name] for name in topics):
            self.missing[topic.name] = max(0, topic.count - found[topic.name])
            if missing := self.missing[topic.name]:
                self.remarks.append(
                    f"{missing} of {topic.count} messages on {topic.name} are missing from {self.path}: "
                    "it is damaged; copy it again if it is a copy"
                )

    def decode(self, raw: RawMessage) -> Any:
        """Return the message, arrays as views of its bytes; raises BrokenMessage if these do not fit."""
        decode = self._typestore.deserialize_ros1 if self._is_ros1 else self._typestore.deserialize_cdr
        try:
            return decode(raw.data, raw.type)
        # The generated parsers of rosbags meet arbitrary bytes here and raise what Python gives them.
        except Exception as error:
            raise BrokenMessage(f"message of {len(raw.data)} bytes is no {raw.type}: {error}") from error

    def _unreadable(self, error: Exception, where: str = "") -> SourceError:
        reason = (str(error) or type(error).__name__).rstrip(".")
        problem = f"cannot read the bag {self.path}{where}: {reason}"
        if isinstance(error, OSError) and error.errno:  # the system's, not of the content
            return SourceError(problem)
        repair = _REPAIRS[storage_suffix(self._storage_files[0])]
        return SourceError(
            f"{problem}; copy the bag again if the copy is damaged; if the recording was cut off, `{repair}` "
            "saves what is there"
        )

    def _find_storage(self) -> list[Path]:
        """List the storage files, those that metadata.yaml names if they are there; raises SourceError."""
        if not self.path.is_dir():
            if self.path.is_file() and storage_suffix(self.path):
                return [self.path]
            problem = "is no bag by its name" if self.path.is_file() else "is no regular file"
            problem = problem if self.path.exists() else "does not exist"
            raise SourceError(f"{self.path} {problem}; {_EXPECTED}")
        files = sorted(file for file in self.path.iterdir() if storage_suffix(file) and file.is_file())
        named = self._read_metadata()
        if missing := sorted(named - {file.name for file in files}):
            self.remarks.append(f"{_METADATA} of {self.path} names {', '.join(missing)}, which is missing")
        files = [file for file in files if file.name in named] or files
        kinds = {storage_suffix(file) for file in files}
        if len(kinds) == 1:
            return files
        problem = f"mixes {' and '.join(sorted(kinds))} files: name one" if kinds else "holds no bag"
        raise SourceError("; ".join([f"{self.path} {problem}", *self.remarks, _EXPECTED]))

    def _read_metadata(self) -> set[str]:
        """Names of the storage files in metadata.yaml, empty if it is missing or not readable."""
        file = self.path / _METADATA
        if not file.exists():
            return set()
        try:
            content = yaml.safe_load(read_file(file, _MOST_METADATA).decode())["rosbag2_bagfile_information"]
            topics = content["topics_with_message_count"]
            self._announced = {t["topic_metadata"]["name"]: int(t["message_count"]) for t in topics}
            if (version := content["version"]) > _NEWEST_METADATA:
                self.remarks.append(f"{file} is of version {version}, newer than known: reading the storage")
            return {Path(name).name for name in content["relative_file_paths"]}
        # PyYAML and what follows meet any content here.
        except Exception as error:
            self.remarks.append(f"{file} is not readable ({error!r}): reading the storage")
            return set()


_EXPECTED = "expected a rosbag2 directory, a .mcap or .db3 file, or a ROS 1 .bag"


def is_bag(path: Path) -> bool:
    """Tell whether a path looks like a bag, whole or not."""
    if path.is_dir():
        return (path / _METADATA).exists() or any(map(storage_suffix, path.iterdir()))
    return bool(storage_suffix(path))


def _typestore(is_ros1: bool) -> Any:
    """Return definitions of the standard messages; those that are read here never differed in ROS 2."""
    store = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
    for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
        if name not in store.fielddefs:
            store.register(get_types_from_msg(_TF_DEFINITION, name))
    return store
