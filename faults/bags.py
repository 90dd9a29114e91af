"""Bags with cuts, holes and flipped bits in each of their files, and small ones that would become huge."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lz4.frame
import numpy as np

from benchmarks.build_map_scaling import write_drive
from faults.damage import damaged
from faults.inputs import scene
from faults.trial import Bad, Fault
from netvlad_core.data.bags.unpacking import zstd
from netvlad_core.data.sources import open_source
from netvlad_core.errors import ImageError

_FRAMES = 12


def bags(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """A drive of twelve images with odometry, as MCAP with metadata."""
    good = folder / "good"
    write_drive(good, [scene(48, 64)], _FRAMES)
    stamps = {frame.stamp for frame in open_source(good)}
    for file in sorted(good.iterdir()):
        for what, data in damaged(file.read_bytes(), rng, round(400 * share)):
            yield Fault(
                f"{file.name}, {what}", partial(_read, good, folder / "work", file.name, data, stamps)
            )


def _read(good: Path, work: Path, name: str, data: bytes, stamps: set[int]) -> None:
    """What is missing is said, and nothing is made up but the pixels and numbers that have no checksum."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(good, work)
    (work / name).write_bytes(data)
    source = open_source(work)
    read = 0
    for frame in source:
        try:
            frame.decode()
            read += 1
        except ImageError:
            continue
        if frame.pose is not None and not np.isfinite(frame.pose.position).all():
            raise Bad("silent: a frame at no finite position")
    if read < len(stamps) and not source.skipped and not source.remark and len(source) == read:
        raise Bad(f"silent: {read} of {len(stamps)} images, and nothing is said")


def bag_bombs(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Bags of a few kilobytes whose chunks, messages or views would be gigabytes, or never end."""
    for compression, compress in {"zstd": zstd.compress, "lz4": lz4.frame.compress}.items():
        packed = compress(bytes(1 << 30))
        for announced in (1 << 30, 1000, 0):
            path = folder / f"{compression}{announced}.mcap"
            path.write_bytes(_mcap_of(compression, announced, packed))
            yield Fault(
                f"chunk of 1 GiB in {compression} that announces {announced} bytes", partial(_refuse, path)
            )
    for what, change in {
        "a gigabyte each": "SELECT id, topic_id, timestamp, zeroblob(900000000) AS data FROM stored",
        "without end": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT x AS id, 1 AS topic_id, x AS timestamp, x'00' AS data FROM c",
    }.items():
        path = folder / f"{what}.db3"
        with sqlite3.connect(path) as database:
            database.executescript(f"{_SCHEMA}; CREATE VIEW messages AS {change}")
        yield Fault(f"messages of a view, {what}", partial(_refuse, path))


_SCHEMA = """
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);
CREATE TABLE stored(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER);
INSERT INTO topics VALUES (1, '/image', 'sensor_msgs/msg/Image', 'cdr');
INSERT INTO stored VALUES (1, 1, 1)
"""


def _mcap_of(compression: str, announced: int, packed: bytes) -> bytes:
    """An MCAP file with one chunk and no index."""
    magic, text = b"\x89MCAP0\r\n", struct.pack("<I", len(compression)) + compression.encode()
    chunk = struct.pack("<QQQI", 0, 1, announced, 0) + text + struct.pack("<Q", len(packed)) + packed
    records = {1: struct.pack("<I4sI", 4, b"ros2", 0), 6: chunk, 2: struct.pack("<QQI", 0, 0, 0)}
    bodies = (struct.pack("<BQ", kind, len(body)) + body for kind, body in records.items())
    return magic + b"".join(bodies) + magic


def _refuse(path: Path) -> None:
    open_source(path)
    raise Bad("silent: it is a bag")
