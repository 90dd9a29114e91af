"""MCAP files that other programs have written."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from netvlad_core.data.bags.bag_file import Bag
from netvlad_core.data.bags.source import NO_POSE, BagSource
from netvlad_core.errors import SourceError
from support.bags import Messages, write_bag
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


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW messages AS SELECT id, topic_id, timestamp, zeroblob(900000000) AS data FROM stored",
        "CREATE VIEW messages AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT x AS id, 1 AS topic_id, x AS timestamp, x'00' AS data FROM c",
        "CREATE TABLE messages(id, topic_id, timestamp, data AS (zeroblob(900000000)))",
    ],
    ids=["large", "endless", "generated"],
)
def test_messages_that_a_database_makes_up_are_refused(tmp_path: Path, change: str) -> None:
    path = _changed_database(tmp_path, "ALTER TABLE messages RENAME TO stored", change)
    with pytest.raises(SourceError, match="messages is no table of stored values"):
        BagSource.open(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE topics SET type = x'ff'", "has the type"),
        ("UPDATE messages SET timestamp = 'soon'", "not stored as time and bytes"),
        ("UPDATE messages SET data = 5", "not stored as time and bytes"),
    ],
)
def test_values_of_another_type_are_told(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        BagSource.open(_changed_database(tmp_path, change))


def _changed_database(folder: Path, *changes: str) -> Path:
    write_bag(folder / "drive", pictures(), arc(), storage="sqlite3")
    (path,) = (folder / "drive").glob("*.db3")
    with sqlite3.connect(path) as database:
        for change in changes:
            database.execute(change)
    return path
