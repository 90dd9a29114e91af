"""Compressed parts of a recording, unpacked as far as there is room: a kilobyte may become gigabytes."""

from __future__ import annotations

import shutil
import sys
from bz2 import BZ2Decompressor
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag1 import reader as rosbag1
from rosbags.rosbag2 import storage_mcap

from netvlad_core.errors import SourceError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # rosbags brings it along

# Recorders may compress each message by itself; no message in CDR begins like this.
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Bytes of a message or of a chunk of messages: more than an image of the most pixels.
_MOST_UNPACKED = 2**28
_BLOCK = 2**22
_FREE = 0.05  # of a disk, which stays free


def unpacked_message(data: bytes) -> bytes:
    """A message as it was before the recorder may have compressed it; raises ValueError if it is damaged."""
    return _unpacked(zstd.ZstdDecompressor, data) if data[:4] == _ZSTD_MAGIC else data


def unpack_file(packed: Path, whole: Path) -> None:
    """Write a file that is compressed as a whole; raises SourceError if the disk has no room for it."""
    with zstd.open(packed, "rb") as source, whole.open("wb") as target:
        while block := source.read(_BLOCK):
            target.write(block)
            disk = shutil.disk_usage(whole.parent)
            if disk.free < _FREE * disk.total:
                raise SourceError(
                    f"{packed} is too large for the disk of {whole.parent} when it is unpacked; unpack it "
                    "where there is room (`zstd -d`), or set TMPDIR"
                )


def _unpacked(decompressor: Callable[[], Any], data: bytes, size: int = _MOST_UNPACKED) -> bytes:
    """Unpack all streams of the data, one after the other, within a bound on the bytes that come out."""
    if size > _MOST_UNPACKED:
        raise ValueError(f"compressed data of {size} bytes; expected at most {_MOST_UNPACKED}")
    parts, room = [], size
    while data:
        stream = decompressor()
        parts.append(stream.decompress(data, max_length=room))
        if not stream.eof:
            raise ValueError(f"compressed data is cut off, or has more than {size} bytes")
        room -= len(parts[-1])
        data = stream.unused_data or b""
    return b"".join(parts)


# rosbags' own functions unpack a chunk to whatever size it turns out to have.
storage_mcap.DECOMPRESSORS["zstd"] = partial(_unpacked, zstd.ZstdDecompressor)
storage_mcap.DECOMPRESSORS["lz4"] = partial(_unpacked, LZ4FrameDecompressor)
rosbag1.decompressors["bz2"] = partial(_unpacked, BZ2Decompressor)
rosbag1.decompressors["lz4"] = partial(_unpacked, LZ4FrameDecompressor)
