"""Compressed parts of bags: whole ones are unpacked, and none takes more room than it may."""

from __future__ import annotations

import bz2
import shutil
from pathlib import Path
from types import SimpleNamespace

import lz4.frame
import pytest
from rosbags.rosbag1 import reader as rosbag1
from rosbags.rosbag2 import storage_mcap

from netvlad_core.data.bags.unpacking import unpack_file, unpacked_message, zstd
from netvlad_core.errors import SourceError

_CONTENT = bytes(range(200)) * 1000
_PART, _PARTS = bytes(2**24), 17  # more than 2**28 bytes in all


def test_messages_are_unpacked_if_they_are_compressed() -> None:
    message = b"\0\1\0\0" + _CONTENT
    assert unpacked_message(message) == message
    assert unpacked_message(zstd.compress(message)) == message
    with pytest.raises(ValueError, match="cut off"):
        unpacked_message(zstd.compress(message)[:-3])


def test_a_message_that_would_take_too_much_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off, or has more than"):
        unpacked_message(zstd.compress(_PART) * _PARTS)


@pytest.mark.parametrize(
    ("name", "compress"), [("zstd", zstd.compress), ("lz4", lz4.frame.compress)], ids=["zstd", "lz4"]
)
def test_a_chunk_of_mcap_has_the_size_that_it_announces(name, compress) -> None:
    unpack = storage_mcap.DECOMPRESSORS[name]
    packed = compress(_CONTENT)
    assert unpack(packed, len(_CONTENT)) == _CONTENT
    assert unpack(packed + packed, 2 * len(_CONTENT)) == 2 * _CONTENT
    with pytest.raises(ValueError, match="has more than 100 bytes"):
        unpack(packed, 100)
    with pytest.raises(ValueError, match="of 9000000000 bytes; expected at most"):
        unpack(packed, 9_000_000_000)


@pytest.mark.parametrize(
    ("name", "compress"), [("bz2", bz2.compress), ("lz4", lz4.frame.compress)], ids=["bz2", "lz4"]
)
def test_a_chunk_of_ros_1_is_bounded(name, compress) -> None:
    assert rosbag1.decompressors[name](compress(_CONTENT)) == _CONTENT
    with pytest.raises(ValueError, match="has more than"):
        rosbag1.decompressors[name](compress(_PART) * _PARTS)


def test_a_file_leaves_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, whole = tmp_path / "drive.mcap.zstd", tmp_path / "drive.mcap"
    packed.write_bytes(zstd.compress(_CONTENT))
    unpack_file(packed, whole)
    assert whole.read_bytes() == _CONTENT
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=4))
    with pytest.raises(SourceError, match=r"drive\.mcap\.zstd is too large for the disk .*TMPDIR"):
        unpack_file(packed, whole)
