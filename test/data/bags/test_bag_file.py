"""Bags that are empty, cut off or hold nonsense: refused with a sentence, or skipped and counted."""

from __future__ import annotations

import re
import shutil
import sqlite3

import numpy as np
import pytest

from netvlad_core.data.bags.bag_file import Bag
from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.bags.unpacking import zstd
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import open_source
from netvlad_core.errors import ImageError, SourceError
from support.bags import STORAGES, BagWriter, write_bag
from support.drives import COUNT, HALF, SECOND, START, arc, assert_on_arc, bag_path, pictures, storage_file


@pytest.mark.parametrize("storage", STORAGES)
def test_empty_bag(tmp_path, storage):
    with BagWriter(bag_path(tmp_path, storage), storage) as bag:
        bag.add_topic("/camera/image_raw", "sensor_msgs/Image")
        bag.add_topic("/odom", "nav_msgs/Odometry")
    with pytest.raises(SourceError, match="the bag holds no images; image topics in the bag: none"):
        BagSource.open(bag_path(tmp_path, storage))
    with pytest.raises(SourceError, match="no image on /camera/image_raw, the bag holds 0 of"):
        BagSource.open(bag_path(tmp_path, storage), SourceOptions("/camera/image_raw"))


def test_bag_without_poses(tmp_path):
    path = write_bag(tmp_path / "drive", pictures())
    with pytest.raises(SourceError, match=r"holds no poses; record odometry or TF .*, or give a TUM"):
        BagSource.open(path)
    source = BagSource.open(path, SourceOptions(poses_required=False))
    frames = list(source)
    assert [frame.pose for frame in frames] == [None] * COUNT
    assert not source.skipped
    assert "no poses" in source.description


def test_images_beyond_the_poses_are_counted_or_yielded(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc(3))
    source = BagSource.open(path)
    assert len(list(source)) == 2
    assert source.skipped == {"image without a pose at its stamp": COUNT - 2}
    anyway = BagSource.open(path, SourceOptions(poses_required=False))
    assert [frame.pose is not None for frame in anyway] == [True] * 2 + [False] * (COUNT - 2)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("pose_type", ["odometry", "pose", "pose_with_covariance", "tf"])
def test_broken_poses_are_skipped_and_counted(tmp_path, storage, pose_type):
    broken = [
        (START + HALF, Pose(np.array([np.nan, 0, 0]), np.array([0, 0, 0, 1.0]))),
        (START + HALF + 1, Pose(np.array([99.0, 0, 0]), np.zeros(4))),
    ]
    poses = sorted(arc() + broken, key=lambda entry: entry[0])
    path = write_bag(bag_path(tmp_path, storage), pictures(), poses, storage=storage, pose_type=pose_type)
    source = BagSource.open(path)
    for _ in range(2):
        assert_on_arc(list(source))
        assert source.skipped == {"pose with NaN or infinity": 1, "pose with a zero quaternion": 1}


def test_only_broken_poses_are_no_poses(tmp_path):
    poses = [(stamp, Pose(np.full(3, np.inf), np.zeros(4))) for stamp, _ in arc()]
    path = write_bag(tmp_path / "drive", pictures(), poses)
    with pytest.raises(SourceError, match=r"no usable pose on /odom .* 7 x pose with NaN or infinity"):
        BagSource.open(path)


@pytest.mark.parametrize("storage", STORAGES)
def test_broken_messages_are_skipped_and_counted(tmp_path, storage):
    path = bag_path(tmp_path, storage)
    with BagWriter(path, storage) as bag:
        make = bag.messages
        for i, ((stamp, pose), (image_stamp, picture)) in enumerate(zip(arc(), pictures(), strict=False)):
            bag.write("/odom", make.odometry(stamp, pose), stamp)
            bag.write_raw("/odom", "nav_msgs/Odometry", b"\x00\x01\x00\x00" + bytes(i), stamp + 1)
            bag.write("/camera/image_raw", make.image(image_stamp, picture), image_stamp)
            bag.write_raw(
                "/camera/image_raw", "sensor_msgs/Image", b"\x00\x01\x00\x00" + bytes(20), image_stamp + 1
            )
        bag.write("/odom", make.odometry(*arc()[-1]), arc()[-1][0])
    source = BagSource.open(path)
    assert_on_arc(list(source))
    assert source.skipped == {"broken pose message": COUNT, "broken image message": COUNT}


def test_stamps_going_backwards_are_skipped_and_counted(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        received = START
        for stamp, pose in arc():
            bag.write("/odom", make.odometry(stamp, pose), received := received + 1)
        bag.write(
            "/odom", make.odometry(START + 3 * SECOND, Pose.from_xyz_yaw(1e3, 0)), received := received + 1
        )
        for stamp, picture in [*pictures(), pictures()[2], pictures()[-1]]:
            bag.write("/camera/image_raw", make.image(stamp, picture), received := received + 1)
    source = BagSource.open(tmp_path / "drive")
    assert_on_arc(list(source))
    assert source.skipped == {
        "pose stamp of another clock": 1,
        "image stamp of another clock": 1,
        "image stamp repeated": 1,
    }


def test_path_poses_without_stamps_are_no_poses(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        bag.write("/path", make.path(START, [(0, pose) for _, pose in arc()]), START)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    with pytest.raises(SourceError, match=r"no usable pose on /path .* 7 x path pose without a stamp"):
        BagSource.open(tmp_path / "drive")


def test_broken_image_raises_when_it_is_decoded(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        for stamp, pose in arc():
            bag.write("/odom", make.odometry(stamp, pose), stamp)
        for i, (stamp, picture) in enumerate(pictures()):
            message = make.image(stamp, picture, "jpeg")
            if i == 1:
                object.__setattr__(message, "data", message.data[:-30])
            bag.write("/camera/compressed", message, stamp)
    frames = list(BagSource.open(tmp_path / "drive"))
    with pytest.raises(ImageError, match="cut off"):
        frames[1].decode()
    assert frames[2].decode().shape == (48, 64, 3)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("storage", STORAGES)
def test_half_a_bag_says_what_to_do(tmp_path, storage, part):
    path = write_bag(bag_path(tmp_path, storage), pictures(20), arc(), storage=storage)
    file = storage_file(path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    repair = {"mcap": "mcap recover", "sqlite3": "sqlite3 .*recover", "ros1": "rosbag reindex"}[storage]
    with pytest.raises(SourceError, match=f"cannot read the bag .*drive.*{repair}"):
        list(BagSource.open(path))


def test_bag_with_a_missing_file(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    storage_file(path).unlink()
    with pytest.raises(SourceError, match=r"holds no bag; .*names drive.mcap, which is missing; expected"):
        BagSource.open(path)


@pytest.mark.parametrize(
    "content", ["", "nonsense", "rosbag2_bagfile_information: {version: 5}", "a: [", "\xff"]
)
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_broken_metadata_is_not_needed(tmp_path, content, storage, caplog):
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage=storage)
    (path / "metadata.yaml").write_bytes(content.encode("latin-1"))
    assert_on_arc(list(BagSource.open(path)))
    assert "metadata.yaml is not readable" in caplog.text


def test_what_is_no_bag(tmp_path):
    with pytest.raises(SourceError, match="does not exist; expected a rosbag2 directory"):
        BagSource.open(tmp_path / "none")
    with pytest.raises(SourceError, match="holds no bag"):
        BagSource.open(tmp_path)
    (tmp_path / "drive.txt").touch()
    with pytest.raises(SourceError, match="is no bag by its name"):
        BagSource.open(tmp_path / "drive.txt")


def test_poses_that_nobody_needs_may_be_ambiguous_or_out_of_reach(tmp_path, caplog):
    with BagWriter(tmp_path / "two") as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
            bag.write("/pose", bag.messages.pose_stamped(stamp, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp)
    write_bag(tmp_path / "tf", pictures(), arc(), pose_type="tf")
    for path, options in ((tmp_path / "two", {}), (tmp_path / "tf", {"base_frame": "other"})):
        with pytest.raises(SourceError):
            BagSource.open(path, SourceOptions(**options))
        frames = list(BagSource.open(path, SourceOptions(poses_required=False, **options)))
        assert [frame.pose for frame in frames] == [None] * COUNT
    assert "going on without poses: the bag holds several pose topics" in caplog.text
    assert "going on without poses: TF does not lead" in caplog.text
    with pytest.raises(SourceError, match="no pose on /named"):
        BagSource.open(tmp_path / "two", SourceOptions(pose_topic="/named", poses_required=False))


def edit(path, old, new):
    metadata = path / "metadata.yaml"
    metadata.write_text(re.sub(old, new, metadata.read_text()))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("/camera/image_raw", "/front/image_raw", "reading the storage"),
        (
            r"message_count: \d+",
            "message_count: 0",
            "announces 0 messages on 2 topics, its storage holds 13",
        ),
        ("version: 9", "version: 12", "metadata.yaml is of version 12, newer than known"),
        ("drive.mcap", "before_it_was_renamed.mcap", "names before_it_was_renamed.mcap, which is missing"),
        ("storage_identifier: mcap", "storage_identifier: other", ""),
        ("name: /odom", "name: /Odom", "reading the storage"),
        (r"offered_qos_profiles: \[\]", "offered_qos_profiles: [{history: keep_last, depth: 1}]", ""),
    ],
)
def test_storage_is_believed_rather_than_metadata(tmp_path, old, new, sentence, caplog):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    before = (path / "metadata.yaml").read_text()
    edit(path, old, new)
    assert (path / "metadata.yaml").read_text() != before
    assert_on_arc(list(BagSource.open(path)))
    assert sentence in caplog.text
    assert len(caplog.records) == bool(sentence)


def test_split_bag_of_which_a_part_is_missing(tmp_path, caplog):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    edit(path, "- drive.mcap", "- drive.mcap\n  - drive_1.mcap")
    assert_on_arc(list(BagSource.open(path)))
    assert "names drive_1.mcap, which is missing" in caplog.text


def test_files_that_metadata_does_not_name_are_left_alone(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    (path / "other.mcap").write_bytes(b"of another recording")
    assert_on_arc(list(BagSource.open(path)))


@pytest.mark.parametrize("journal", ["wal", "journal"])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_database_that_is_not_whole_without_its_journal(tmp_path, journal, has_metadata):
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage="sqlite3")
    if not has_metadata:
        (path / "metadata.yaml").unlink()
    beside = path / f"drive.db3-{journal}"
    for harmless in (b"", bytes(512) if journal == "journal" else bytes(32)):
        beside.write_bytes(harmless)
        assert_on_arc(list(BagSource.open(path)))
    beside.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
    with pytest.raises(
        SourceError, match=f"drive.db3-{journal} holds messages that .* run `sqlite3 .*checkpoint"
    ):
        BagSource.open(path)
    with pytest.raises(SourceError, match=f"drive.db3-{journal} holds"):
        BagSource.open(path / "drive.db3")


def made_whole(error: SourceError) -> None:
    """Do what the sentence says, with Python's SQLite."""
    said = re.search(r"`sqlite3 (\S+) '(.*)'`", str(error))
    assert said is not None
    database = sqlite3.connect(said[1], isolation_level=None)
    for statement in said[2].split(";"):
        database.execute(statement).fetchall()
    database.close()


def test_hot_journal_of_a_writer_that_was_killed(tmp_path):
    """A real one: SQLite keeps the pages as they were beside the database until it commits."""
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage="sqlite3")
    database = sqlite3.connect(path / "drive.db3", isolation_level=None)
    database.executescript("PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN")
    database.execute("UPDATE messages SET data = zeroblob(9000)")
    shutil.copytree(path, tmp_path / "copy")
    database.close()
    with pytest.raises(SourceError, match=r"drive.db3-journal holds messages") as caught:
        BagSource.open(tmp_path / "copy")
    made_whole(caught.value)
    assert_on_arc(list(BagSource.open(tmp_path / "copy")))


def test_write_ahead_log_of_a_recorder_that_was_killed(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage="sqlite3")
    database = sqlite3.connect(path / "drive.db3", isolation_level=None)
    rows = database.execute("SELECT * FROM messages WHERE id > 4").fetchall()
    database.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; DELETE FROM messages WHERE id > 4"
    )
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
    shutil.copytree(path, tmp_path / "copy")
    database.close()
    with pytest.raises(SourceError, match=r"drive.db3-wal holds messages") as caught:
        BagSource.open(tmp_path / "copy")
    made_whole(caught.value)
    assert_on_arc(list(BagSource.open(tmp_path / "copy")))


def test_paths_that_are_no_addresses(tmp_path):
    """SQLite is given an address, in which these characters mean something else."""
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage="sqlite3")
    assert_on_arc(list(BagSource.open(path.rename(tmp_path / "50% #1 ?x=y"))))


def test_error_of_the_system_is_no_damage(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc())
    bag = Bag(path)
    (path / "drive.mcap").unlink()
    (path / "drive.mcap").mkdir()
    with pytest.raises(SourceError, match=r"cannot read the bag .*Is a directory[^;]*$"), bag:
        pass


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("suffix", [".zstd", ".zst"])
def test_compressed_file_without_metadata(tmp_path, storage, suffix):
    path = write_bag(tmp_path / "drive", pictures(), arc(), storage=storage)
    file = storage_file(path)
    packed = file.with_name(file.name + suffix)
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    (path / "metadata.yaml").unlink()
    for each in (path, packed):
        assert_on_arc(list(open_source(each)))
