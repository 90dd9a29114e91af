"""Bags of every storage format: the topics, the frames, and what reading them costs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import write_tum
from netvlad_core.errors import SourceError
from support.bags import STORAGES, BagWriter, write_bag
from support.drives import COUNT, SECOND, START, arc, assert_on_arc, bag_path, pictures, storage_file
from support.images import known_picture


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("encoding", ["rgb8", "jpeg"])
def test_storage_formats(tmp_path, storage, encoding):
    path = write_bag(bag_path(tmp_path, storage), pictures(), arc(), storage=storage, encoding=encoding)
    source = BagSource.open(path)
    topic = "/camera/image_raw" + ("/compressed" if encoding == "jpeg" else "")
    for _ in range(2):
        frames = list(source)
        assert_on_arc(frames)
        assert [f.stamp for f in frames] == [stamp for stamp, _ in pictures()]
        assert [f.name for f in frames] == [f"{topic}#{i}" for i in range(COUNT)]
        for frame, (_, picture) in zip(frames, pictures(), strict=True):
            difference = np.abs(frame.decode().astype(int) - picture)
            assert difference.mean() <= (4 if encoding == "jpeg" else 0)
    assert len(source) == COUNT
    assert source.is_stream
    assert source.frame_id == "odom"
    assert not source.skipped
    assert topic in source.description
    assert "/odom" in source.description


def test_image_topic_as_image_transport_names_it(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc(), encoding="jpeg")
    for topic in ("/camera/image_raw", "camera/image_raw", "/camera/image_raw/compressed"):
        assert len(list(BagSource.open(path, SourceOptions(topic)))) == COUNT


def test_wrong_topics_list_the_right_ones(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    images = r"image topics in the bag: /camera/image_raw \(sensor_msgs/Image, 6 messages\)"
    with pytest.raises(SourceError, match=f"no image on /x; {images}"):
        BagSource.open(path, SourceOptions("/x"))
    with pytest.raises(
        SourceError, match=f"no image on /odom, the bag holds 7 of nav_msgs/Odometry there; {images}"
    ):
        BagSource.open(path, SourceOptions("/odom"))
    with pytest.raises(SourceError, match=r"no pose on /tf; pose topics in the bag: /odom \(nav_msgs/Od"):
        BagSource.open(path, SourceOptions(pose_topic="/tf"))
    with pytest.raises(SourceError, match="wanted in map, those of /odom are in odom"):
        BagSource.open(path, SourceOptions(map_frame="map"))


def test_of_several_topics_one_must_be_named(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        for stamp, pose in arc():
            bag.write("/odom", make.odometry(stamp, pose), stamp)
            bag.write("/amcl_pose", make.pose_with_covariance(stamp, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/left/image_raw", make.image(stamp, picture), stamp)
            bag.write("/left/image_raw/compressed", make.image(stamp, picture, "jpeg"), stamp)
            bag.write("/left/image_raw/compressedDepth", make.image(stamp, picture, "png"), stamp)
            bag.write("/right/image_raw", make.image(stamp, picture), stamp)
    path = tmp_path / "drive"
    with pytest.raises(SourceError, match=r"several cameras, name one image topic; .*/left/.*, /right/"):
        BagSource.open(path)
    with pytest.raises(SourceError, match=r"several pose topics, name one; .*/amcl_pose \(.*, /odom \("):
        BagSource.open(path, SourceOptions("/left/image_raw"))
    source = BagSource.open(path, SourceOptions("/left/image_raw", "odom"))
    assert next(iter(source)).name == "/left/image_raw#0"


def test_raw_and_compressed_of_one_camera_are_one_camera(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/compressed", bag.messages.image(stamp, picture, "jpeg"), stamp)
            bag.write("/camera", bag.messages.image(stamp, picture), stamp)
    assert next(iter(BagSource.open(tmp_path / "drive"))).name == "/camera#0"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bag_without_metadata_and_its_single_file_are_read(tmp_path, storage):
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage=storage)
    assert_on_arc(list(BagSource.open(storage_file(path))))
    (path / "metadata.yaml").unlink()
    assert_on_arc(list(BagSource.open(path)))


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("mcap", CompressionMode.STORAGE),
        ("mcap", CompressionMode.MESSAGE),
        ("sqlite3", CompressionMode.FILE),
        ("sqlite3", CompressionMode.MESSAGE),
    ],
)
def test_zstd_compressed_bags(tmp_path, storage, mode):
    writer = BagWriter(tmp_path / "drive", storage)
    writer.writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp)
    for _ in range(2):
        frames = list(BagSource.open(tmp_path / "drive"))
        assert_on_arc(frames)
        np.testing.assert_array_equal(frames[0].decode(), pictures()[0][1])
        (tmp_path / "drive" / "metadata.yaml").unlink(missing_ok=True)


def test_bag_without_message_definitions(tmp_path):
    """As ROS 2 up to Humble records them."""
    import sqlite3

    path = write_bag(tmp_path / "drive", pictures(), arc(), storage="sqlite3")
    database = sqlite3.connect(storage_file(path))
    database.executescript("DELETE FROM message_definitions; UPDATE schema SET schema_version = 3")
    database.commit()
    database.close()
    assert_on_arc(list(BagSource.open(path)))


def test_foreign_message_types_do_no_harm(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        definition = "Unparsable$$ definition ~"
        connection = bag.writer.add_connection(
            "/strange", "strange_msgs/msg/Strange", msgdef=definition, rihs01="RIHS01_0"
        )
        bag.writer.write(connection, START, b"????")
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp)
    assert_on_arc(list(BagSource.open(tmp_path / "drive")))


def test_fingerprint_follows_content_and_options(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    first = BagSource.open(path).fingerprint
    assert BagSource.open(path).fingerprint == first
    assert BagSource.open(path, SourceOptions(max_gap=1.2)).fingerprint != first
    write_tum(tmp_path / "poses.tum", arc())
    assert BagSource.open(path, SourceOptions(trajectory=tmp_path / "poses.tum")).fingerprint != first
    with (path / "metadata.yaml").open("a") as file:
        file.write("\n")
    assert BagSource.open(path).fingerprint != first


def test_images_are_not_touched_before_iteration_and_not_copied_after(tmp_path, monkeypatch):
    from netvlad_core.data import images
    from netvlad_core.data.bags.bag_file import Bag

    path = write_bag(tmp_path / "drive", pictures(), arc())
    seen: list[str] = []
    decode = Bag.decode

    def watched(bag: Bag, raw: Any) -> Any:
        seen.append(raw.type)
        return decode(bag, raw)

    monkeypatch.setattr(Bag, "decode", watched)
    pictures_seen: list[Any] = []
    monkeypatch.setattr(images, "_decode_raw", lambda message: pictures_seen.append(message))
    source = BagSource.open(path)
    frame = next(iter(source))
    assert seen[-1] == "sensor_msgs/msg/Image"
    assert not pictures_seen
    assert isinstance(frame.decode, partial)
    assert not frame.decode.args[0].data.flags.owndata


def test_iteration_holds_one_image_at_a_time(tmp_path):
    """Peak memory over a bag of 40 images and one of 400: the same, far below the size of the bag."""
    import tracemalloc

    picture = known_picture(120, 160)
    peaks = []
    for count in (40, 400):
        images = ((START + i * SECOND // 10, picture) for i in range(count))
        poses = [(START, Pose.identity()), (START + count * SECOND // 10, Pose.identity())]
        path = write_bag(tmp_path / f"drive{count}", images, poses, storage="sqlite3")
        source = BagSource.open(path, SourceOptions(max_gap=100.0))
        tracemalloc.start()
        assert sum(frame.decode().shape[0] == 120 for frame in source) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 200_000
    assert peaks[1] < 400 * picture.nbytes / 10


@pytest.mark.parametrize(
    ("name", "count", "topic", "frame"),
    [
        ("toshiki_loop_mcap", 72, None, "odom"),
        ("toshiki_loop_sqlite3", 72, "/tf", "odom"),
        ("tum_fr1_rpy_sqlite3", 241, "/ground_truth/odom", "world"),
    ],
)
def test_real_bags(shared_data, name, count, topic, frame):
    source = BagSource.open(shared_data / "bags" / name, SourceOptions("/camera/image_raw", topic))
    frames = list(source)
    assert len(frames) == len(source) == count
    assert not source.skipped
    assert source.frame_id == frame
    images = [f.decode() for f in frames[::20]]
    assert all(image.std() > 10 for image in images)
    stamps = np.array([f.stamp for f in frames])
    assert (np.diff(stamps) > 0).all()
    if name.startswith("toshiki"):
        distance = np.linalg.norm(frames[0].pose.position - frames[-1].pose.position)
        assert distance == pytest.approx(5.5, abs=0.5)


def write_clocks(path: Path, image_offset: int, pose_offset: int = 0, tum: Path | None = None) -> Path:
    """Write a drive whose image stamps, or pose stamps, are of another clock."""
    with BagWriter(path) as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp + pose_offset, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp + image_offset, picture), stamp)
    return path


@pytest.mark.parametrize(
    ("image_offset", "pose_offset", "wrong"),
    [
        (4321 * SECOND - START, 0, "/camera/image_raw"),
        (7200 * SECOND, 0, "/camera/image_raw"),
        (0, -7200 * SECOND, "/odom"),
    ],
)
def test_clocks_that_never_meet_are_named_and_can_be_mended(
    tmp_path: Path, image_offset: int, pose_offset: int, wrong: str
) -> None:
    path = write_clocks(tmp_path / "drive", image_offset, pose_offset)
    sentence = (
        rf"images are of .*, poses of .*: they never meet; .* differ by \d+ s.*--recording-time {wrong}$"
    )
    with pytest.raises(SourceError, match=sentence):
        BagSource.open(path)
    source = BagSource.open(path, SourceOptions(recording_time=(wrong.lstrip("/"),)))
    frames = list(source)
    assert not source.skipped
    assert len(frames) == source.usable == COUNT
    if wrong != "/odom":
        assert_on_arc(frames)
    anyway = BagSource.open(path, SourceOptions(poses_required=False))
    assert len(list(anyway)) == COUNT
    assert "they never meet" in anyway.remark


def test_trajectory_of_another_day(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "drive", pictures(), arc())
    write_tum(tmp_path / "poses.tum", [(stamp + 86400 * SECOND, pose) for stamp, pose in arc()])
    with pytest.raises(SourceError, match=r"images are of 2023-11-14 .*, poses of 2023-11-15 .*never meet$"):
        BagSource.open(path, SourceOptions(trajectory=tmp_path / "poses.tum"))


@pytest.mark.parametrize("row", [0, 2, 5])
@pytest.mark.parametrize("stamp", [0, START - 3600 * SECOND, START + 3600 * SECOND])
def test_one_image_of_another_clock_costs_one_image(tmp_path: Path, row: int, stamp: int) -> None:
    path = tmp_path / "drive"
    with BagWriter(path) as bag:
        for each, pose in arc():
            bag.write("/odom", bag.messages.odometry(each, pose), each)
        for i, (each, picture) in enumerate(pictures()):
            message = bag.messages.image(stamp if i == row else each, picture)
            bag.write("/camera/image_raw", message, each)
    source = BagSource.open(path)
    frames = list(source)
    assert [frame.name for frame in frames] == [f"/camera/image_raw#{i}" for i in range(COUNT) if i != row]
    assert sum(source.skipped.values()) == 1
    assert source.usable == COUNT - 1
    assert not source.remark


def test_few_images_with_poses_are_explained(tmp_path: Path) -> None:
    source = BagSource.open(write_bag(tmp_path / "drive", pictures(), arc(3)))
    assert (source.usable, len(source)) == (2, COUNT)
    assert source.remark.startswith("images are of 2023-11-14 22:13:20 to 2023-11-14 22:13:25, poses of 2023")


@pytest.mark.parametrize(("scale", "doubt"), [(1.0, ""), (1e-5, "degrees")])
def test_poses_in_degrees(tmp_path: Path, scale: float, doubt: str, caplog: pytest.LogCaptureFixture) -> None:
    moved = [(stamp, Pose.from_xyz_yaw(11.5 + scale * i, 48.1)) for i, (stamp, _) in enumerate(arc(16))]
    BagSource.open(write_bag(tmp_path / "drive", pictures(15), moved))
    assert doubt in caplog.text
    assert bool(caplog.text) == bool(doubt)


def test_poses_in_millimetres(tmp_path: Path) -> None:
    """Too fast for any robot: one pose is left, and the reason doubts the unit."""
    moved = [(stamp, Pose.from_xyz_yaw(3000.0 * i, 0)) for i, (stamp, _) in enumerate(arc())]
    path = write_bag(tmp_path / "drive", pictures(), moved)
    source = BagSource.open(path, SourceOptions(poses_required=False))
    assert source.skipped == {"position that no robot can have reached, if it is in metres": COUNT}
