"""MCAP files that other programs have written."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from netvlad_core.data.bags import storage
from netvlad_core.data.bags.bag_file import Bag
from netvlad_core.data.bags.source import NO_POSE, BagSource
from netvlad_core.data.bags.storage import zstd
from netvlad_core.errors import SourceError
from support.bags import Messages
from support.drives import COUNT, START, arc, assert_on_arc, pictures

MAGIC = b"\x89MCAP0\r\n"


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<Q", len(body)) + body


def write_mcap(
    path: Path,
    profile: str,
    extra: Sequence[tuple[str, str, str, str]] = (),
    encoding: str = "cdr",
    library: str = "another",
    late: int = 0,
    lost: int = 0,
) -> Path:
    """Write an unindexed file with a drive; `extra` are topic, schema, schema encoding, message encoding.

    Of `lost` messages at the end only the summary speaks.
    """
    make = Messages()
    channels = [
        ("/odom", "nav_msgs/msg/Odometry", "ros2msg", encoding),
        ("/camera/image_raw", "sensor_msgs/msg/Image", "ros2msg", encoding),
        *extra,
    ]
    described = b""
    for number, (topic, schema, notation, message_encoding) in enumerate(channels, start=1):
        described += record(3, struct.pack("<H", number) + text(schema) + text(notation) + text("?"))
        names = text(topic) + text(message_encoding) + text("")
        described += record(4, struct.pack("<HH", number, number) + names)
    out = MAGIC + record(1, text(profile) + text(library)) + described
    messages = [(stamp, 1, make.odometry(stamp, pose)) for stamp, pose in arc()]
    messages += [(stamp, 2, make.image(stamp, picture)) for stamp, picture in pictures()]
    messages.sort(key=lambda entry: entry[0])
    counts = Counter(number for _, number, _ in messages)
    for i, (stamp, number, message) in enumerate(messages[: len(messages) - lost]):
        time = stamp - (late if i % 2 else 0)
        data = bytes(make.store.serialize_cdr(message, message.__msgtype__))
        out += record(5, struct.pack("<HIQQ", number, 0, time, time) + data)
    for number in range(3, len(channels) + 1):
        out += record(5, struct.pack("<HIQQ", number, 0, START, START) + b"{}")
    out += record(15, struct.pack("<I", 0))
    summary = len(out) if lost else 0
    if lost:
        per_channel = b"".join(struct.pack("<HQ", *count) for count in counts.items())
        numbers = (counts.total(), len(channels), len(channels), 0, 0, 0, START, messages[-1][0])
        totals = struct.pack("<QHIIIIQQ", *numbers)
        out += described + record(11, totals + struct.pack("<I", len(per_channel)) + per_channel)
    out += record(2, struct.pack("<QQI", summary, 0, 0)) + MAGIC
    path.write_bytes(out)
    return path


FOREIGN = [
    ("/weather", "Weather", "jsonschema", "json"),
    ("/video", "foxglove.CompressedVideo", "protobuf", "protobuf"),
    ("/flat", "Table", "flatbuffer", "flatbuffer"),
]


@pytest.mark.parametrize("profile", ["ros2", "", "ros1", "a profile with a long name"])
@pytest.mark.parametrize("library", ["", "another"])
def test_any_profile_with_channels_of_ros_2(tmp_path: Path, profile: str, library: str) -> None:
    assert_on_arc(list(BagSource.open(write_mcap(tmp_path / "drive.mcap", profile, library=library))))


def test_channels_of_other_encodings_are_named_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert_on_arc(list(BagSource.open(write_mcap(tmp_path / "drive.mcap", "ros2", FOREIGN))))
    assert (
        "of other encodings: /flat (Table, flatbuffer), /video (foxglove.CompressedVideo, pro" in caplog.text
    )
    assert len(caplog.records) == 1


@pytest.mark.parametrize("encoding", ["ros1", "protobuf"])
def test_file_without_any_channel_of_ros_2(tmp_path: Path, encoding: str) -> None:
    path = write_mcap(tmp_path / "drive.mcap", encoding, encoding=encoding)
    found = rf"holds no messages in cdr, .*/odom \(nav_msgs/msg/Odometry, {encoding}\); record the topics"
    with pytest.raises(SourceError, match=found):
        BagSource.open(path)


def test_messages_that_were_written_out_of_order(tmp_path: Path) -> None:
    """Several threads of a recorder write without an index: rosbags refuses such files."""
    path = write_mcap(tmp_path / "drive.mcap", "ros2", late=600_000_000)
    assert_on_arc(list(BagSource.open(path)))
    with Bag(path) as bag:
        received = [raw.received for raw in bag.messages(["/odom", "/camera/image_raw"])]
    assert received != sorted(received)
    assert len(received) == 13


@pytest.mark.parametrize("lost", [1, 4, 5])
def test_messages_that_are_announced_and_missing_are_told(tmp_path, caplog, lost):
    """A hole of zeros, say, in a file without checksums. The last message is a pose, then they alternate."""
    source = BagSource.open(write_mcap(tmp_path / "drive.mcap", "ros2", lost=lost))
    images, poses = lost // 2, lost - lost // 2
    assert len(source) == COUNT
    assert source.skipped["image missing from the file"] == images
    assert source.skipped["pose message missing from the file"] == poses
    assert len(list(source)) == source.usable == COUNT - images - source.skipped[NO_POSE]
    path = tmp_path / "drive.mcap"
    assert f"{poses} of {COUNT + 1} messages on /odom are missing from {path}: it is damaged" in caplog.text
    assert not BagSource.open(write_mcap(tmp_path / "whole.mcap", "ros2")).skipped


def test_a_compressed_message_takes_no_more_memory_than_messages_have(monkeypatch):
    packed = zstd.compress(bytes(1000))
    monkeypatch.setattr(storage, "_MOST_UNPACKED", 1000)
    assert storage._unpacked(packed) == bytes(1000)
    for damaged in (zstd.compress(bytes(1001)), packed[:-3]):
        with pytest.raises(ValueError, match="cut off, or has more than 1000 bytes"):
            storage._unpacked(damaged)
