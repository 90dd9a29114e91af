"""MCAP files that other programs have written."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from netvlad_core.data.bags.bag_file import Bag
from netvlad_core.data.bags.source import BagSource
from netvlad_core.errors import SourceError
from support.bags import Messages
from support.drives import START, arc, assert_on_arc, pictures

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
) -> Path:
    """Write an unindexed file with a drive; `extra` are topic, schema, schema encoding, message encoding."""
    make = Messages()
    channels = [
        ("/odom", "nav_msgs/msg/Odometry", "ros2msg", encoding),
        ("/camera/image_raw", "sensor_msgs/msg/Image", "ros2msg", encoding),
        *extra,
    ]
    out = MAGIC + record(1, text(profile) + text(library))
    for number, (topic, schema, notation, message_encoding) in enumerate(channels, start=1):
        out += record(3, struct.pack("<H", number) + text(schema) + text(notation) + text("?"))
        out += record(4, struct.pack("<HH", number, number) + text(topic) + text(message_encoding) + text(""))
    messages = [(stamp, 1, make.odometry(stamp, pose)) for stamp, pose in arc()]
    messages += [(stamp, 2, make.image(stamp, picture)) for stamp, picture in pictures()]
    for i, (stamp, number, message) in enumerate(sorted(messages, key=lambda entry: entry[0])):
        time = stamp - (late if i % 2 else 0)
        data = bytes(make.store.serialize_cdr(message, message.__msgtype__))
        out += record(5, struct.pack("<HIQQ", number, 0, time, time) + data)
    for number in range(3, len(channels) + 1):
        out += record(5, struct.pack("<HIQQ", number, 0, START, START) + b"{}")
    out += record(15, struct.pack("<I", 0)) + record(2, struct.pack("<QQI", 0, 0, 0)) + MAGIC
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
