"""Every source of poses, and the way from the sensor to the base of the robot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.geodesy import east_north_up
from netvlad_core.data.geometry import Pose
from netvlad_core.data.judges.positions import JUMP
from netvlad_core.data.trajectory import write_tum
from netvlad_core.errors import SourceError
from support.bags import POSE_TOPICS, STORAGES, BagWriter, write_bag
from support.drives import COUNT, HALF, SECOND, START, arc, assert_on_arc, bag_path, pictures


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("pose_type", [kind for kind in POSE_TOPICS if kind != "fix"])
def test_pose_types(tmp_path, storage, pose_type):
    path = write_bag(bag_path(tmp_path, storage), pictures(), arc(), storage=storage, pose_type=pose_type)
    for topic in (None, POSE_TOPICS[pose_type]):
        source = BagSource.open(path, SourceOptions(pose_topic=topic))
        assert_on_arc(list(source))
        assert source.frame_id == ("odom" if pose_type in ("odometry", "tf") else "map")


@pytest.mark.parametrize("storage", STORAGES)
def test_satellite_fixes_become_metres_with_the_heading_of_travel(tmp_path, storage):
    degrees = [
        (START + i * SECOND, Pose.from_xyz_yaw(11.5, 48.1 + 4e-5 * i, 500.0)) for i in range(COUNT + 1)
    ]
    path = write_bag(bag_path(tmp_path, storage), pictures(), degrees, storage=storage, pose_type="fix")
    source = BagSource.open(path)
    assert source.frame_id == "map"
    assert source.origin == [48.1, 11.5, 500.0]
    frames = list(source)
    assert len(frames) == COUNT
    origin = np.array([48.1, 11.5, 500.0])
    for i, frame in enumerate(frames):
        expected = east_north_up(origin[None] + [4e-5 * (i + 0.5), 0, 0], origin)[0]
        np.testing.assert_allclose(frame.pose.position, expected, atol=1e-3)
        assert frame.pose.yaw == pytest.approx(np.pi / 2)
    assert frames[1].pose.position[1] - frames[0].pose.position[1] == pytest.approx(4.45, abs=0.01)


def test_fixes_without_a_position_are_skipped_and_the_antenna_is_moved_to_the_base(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        bag.write(
            "/tf_static",
            make.transforms(START, ("base_link", "gps", Pose.from_xyz_yaw(-1, 0, 2, 1.0))),
            START,
        )
        for i in range(COUNT + 1):
            stamp = START + i * SECOND
            nan = float("nan")
            height = {2: nan, 3: 1e300}.get(i, 0.0)
            bag.write("/fix", make.fix(stamp, 48 + 4e-5 * i, 11.0, height), stamp)
            bag.write("/fix", make.fix(stamp + HALF // 2, 10.0, 10.0, status=-1), stamp + 1)
            bag.write("/fix", make.fix(stamp + HALF // 2, nan, 11.0), stamp + 2)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    source = BagSource.open(tmp_path / "drive")
    frames = list(source)
    assert len(frames) == COUNT
    assert source.skipped == {"satellite fix without a position": 2 * (COUNT + 1)}
    assert max(abs(frame.pose.position[2] + 2) for frame in frames) < 0.01
    # The antenna is 1 m behind and 2 m above the base; half a step of 4.447 m has been driven north.
    np.testing.assert_allclose(frames[0].pose.position, [0, 0.5 * 4.447 + 1, -2], atol=0.01)
    assert frames[0].pose.yaw == pytest.approx(np.pi / 2)


def test_tum_file_instead_of_topics(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), [(s, Pose.identity()) for s, _ in arc()])
    write_tum(tmp_path / "poses.tum", arc())
    source = BagSource.open(path, SourceOptions(trajectory=tmp_path / "poses.tum", map_frame="survey"))
    assert_on_arc(list(source))
    assert source.frame_id == "survey"
    mounted = BagSource.open(
        path, SourceOptions(trajectory=tmp_path / "poses.tum", extrinsics=Pose.from_xyz_yaw(0, 0, 1.0))
    )
    np.testing.assert_allclose([f.pose.position[2] for f in mounted], 0.1 * np.arange(0.5, COUNT) - 1.0)


# Whether a lever arm is added before the interpolation or after it makes millimetres.
LEVER_ARM = 1e-2
MAP_FROM_ODOM = Pose.from_xyz_yaw(100, -50, 3, yaw=0.7)
FOOT_FROM_BASE = Pose.from_xyz_yaw(0.2, 0, 0.4)


def write_tf_bag(path: Path, storage: str = "mcap") -> Path:
    """map -> odom at its own pace, odom -> base_footprint, static to base_link and camera; a wheel."""
    with BagWriter(path, storage) as bag:
        make = bag.messages
        statics = make.transforms(
            0,
            ("base_footprint", "base_link", FOOT_FROM_BASE),
            ("base_link", "camera", Pose.from_xyz_yaw(1, 0, 1, yaw=0.1)),
        )
        bag.write("/tf_static", statics, START)
        for i in range(-1, 2 * COUNT + 4):
            stamp = START + i * HALF + 123456
            wheel = ("base_link", "wheel", Pose.from_xyz_yaw(0, 0.3, yaw=i))
            bag.write("/tf", make.transforms(stamp, ("map", "odom", MAP_FROM_ODOM), wheel), stamp)
        for stamp, pose in arc():
            bag.write("/tf", make.transforms(stamp, ("/odom", "base_footprint", pose)), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    return path


@pytest.mark.parametrize("storage", STORAGES)
def test_tf_chain_of_moving_and_static_transforms(tmp_path, storage):
    source = BagSource.open(write_tf_bag(bag_path(tmp_path, storage), storage))
    assert source.frame_id == "map"
    assert_on_arc(list(source), MAP_FROM_ODOM, FOOT_FROM_BASE, atol=LEVER_ARM)


def test_tf_to_other_frames(tmp_path):
    path = write_tf_bag(tmp_path / "drive")
    source = BagSource.open(path, SourceOptions(map_frame="odom", base_frame="base_footprint"))
    assert source.frame_id == "odom"
    assert_on_arc(list(source))


def test_tf_that_does_not_lead_there_lists_the_frames(tmp_path):
    path = write_tf_bag(tmp_path / "drive")
    with pytest.raises(SourceError, match="from world to base_link; frames above base_link: base_foot"):
        BagSource.open(path, SourceOptions(map_frame="world"))
    with pytest.raises(
        SourceError, match=r"to robot; .*frames in the bag: base_footprint, base_link, camera,"
    ):
        BagSource.open(path, SourceOptions(base_frame="robot"))
    with pytest.raises(SourceError, match="only static transforms from base_link to camera"):
        BagSource.open(path, SourceOptions(base_frame="camera", map_frame="base_link"))


BASE_FROM_CAMERA = Pose.from_xyz_yaw(0.5, 0, 1, yaw=0.3)


def write_sensor_bag(path: Path) -> Path:
    """Odometry of a camera that is mounted on the base, with the mounting in /tf_static."""
    with BagWriter(path) as bag:
        make = bag.messages
        camera = make.transforms(
            0,
            ("base_link", "mast", Pose.from_xyz_yaw(0, 0, 1)),
            ("mast", "camera", Pose.from_xyz_yaw(0.5, 0, yaw=0.3)),
        )
        bag.write("/tf_static", camera, START)
        for stamp, pose in arc():
            message = make.odometry(stamp, pose @ BASE_FROM_CAMERA, child="camera")
            bag.write("/vo", message, stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    return path


def test_extrinsics_from_static_transforms(tmp_path):
    assert_on_arc(list(BagSource.open(write_sensor_bag(tmp_path / "drive"))))


def test_extrinsics_as_a_parameter_go_first(tmp_path):
    path = write_sensor_bag(tmp_path / "drive")
    source = BagSource.open(path, SourceOptions(extrinsics=Pose.identity()))
    assert_on_arc(list(source), after=BASE_FROM_CAMERA, atol=LEVER_ARM)
    assert source.fingerprint != BagSource.open(path).fingerprint


def test_unknown_extrinsics_leave_the_poses_and_warn(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        source = BagSource.open(write_sensor_bag(tmp_path / "drive"), SourceOptions(base_frame="chassis"))
    assert_on_arc(list(source), after=BASE_FROM_CAMERA, atol=LEVER_ARM)
    assert "/vo are those of the frame 'camera', which no static transform joins to 'chassis'" in caplog.text


def test_longest_path_wins_over_a_later_short_one(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        bag.write("/path", make.path(START, arc()), START)
        bag.write("/path", make.path(START, arc(2)), START + 1)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    assert_on_arc(list(BagSource.open(tmp_path / "drive")))


def test_headers_without_a_stamp_have_the_time_of_recording(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(0, pose), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(0, picture), stamp)
    frames = list(BagSource.open(tmp_path / "drive"))
    assert [frame.stamp for frame in frames] == [stamp for stamp, _ in pictures()]
    assert_on_arc(frames)


def write_odometry(
    path: Path, entries: list[tuple[int, int, Pose]], frames: list[tuple[str, str]] | None = None
) -> Path:
    """Write (stamp, time of recording, pose) of odometry, and the pictures at their usual times."""
    with BagWriter(path) as bag:
        make = bag.messages
        for i, (stamp, received, pose) in enumerate(entries):
            names = frames[i % len(frames)] if frames else ("odom", "base_link")
            bag.write("/odom", make.odometry(stamp, pose, *names), received)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    return path


AWAY = Pose.from_xyz_yaw(500, 500)


@pytest.mark.parametrize("row", [0, 3, 6])
@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (0, "pose stamp never set"),
        (START + 10**6 * SECOND, "pose stamp of another clock"),
        (4321 * SECOND, "pose stamp of another clock"),
    ],
)
def test_one_pose_of_another_clock_costs_one_pose(tmp_path, row, stamp, reason):
    entries = [(s, s, pose) for s, pose in arc()]
    entries.insert(row, (stamp, entries[row][0] - 1, AWAY))
    source = BagSource.open(write_odometry(tmp_path / "drive", entries))
    assert_on_arc(list(source))
    # A first stamp that lies before all others contradicts none, and is of no instant of the drive.
    assert source.skipped == ({} if (row, stamp) == (0, 4321 * SECOND) else {reason: 1})


def test_clock_that_is_set_back_in_mid_drive(tmp_path, caplog):
    """What comes after the step is longer and is kept; a running maximum would drop it for a minute."""
    before = [(s - 60 * SECOND, s - 60 * SECOND, AWAY) for s, _ in arc(3)]
    after = [(s - 90 * SECOND, s, pose) for s, pose in arc()]
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, received, pose in before + after:
            bag.write("/odom", bag.messages.odometry(stamp, pose), received)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp - 90 * SECOND, picture), stamp)
    source = BagSource.open(tmp_path / "drive")
    frames = list(source)
    assert len(frames) == COUNT
    assert max(frame.pose.position[0] for frame in frames) < 20
    assert source.skipped == {"pose stamp from before or after the clock was set": 3}
    assert "its clock was set in mid-recording; kept 2023-11-14 22:11:50 to" in caplog.text


def test_recording_of_a_drive_that_was_played_in_a_loop(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        for turn in range(3):
            later = START + turn * 20 * SECOND - arc()[0][0]
            for stamp, pose in arc(5 if turn == 2 else COUNT + 1):
                bag.write("/odom", bag.messages.odometry(stamp, pose), stamp + later)
            for stamp, picture in pictures(4 if turn == 2 else COUNT):
                bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp + later)
    source = BagSource.open(tmp_path / "drive")
    assert_on_arc(list(source))
    assert source.skipped["image stamp from before or after the clock was set"] == COUNT + 4


def test_transforms_of_a_simulation_that_was_restarted(tmp_path):
    """The first run is short and elsewhere; its stamps come again in the second one."""
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        for i in range(4):
            moves = make.transforms(i * SECOND, ("odom", "base_link", AWAY))
            bag.write("/tf", moves, START - (9 - i) * SECOND)
        for stamp, pose in arc():
            moves = make.transforms(stamp - START, ("odom", "base_link", pose))
            bag.write("/tf", moves, stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp - START, picture), stamp)
    source = BagSource.open(tmp_path / "drive")
    frames = list(source)
    assert len(frames) == COUNT
    assert max(frame.pose.position[0] for frame in frames) < 20
    assert source.skipped == {"pose stamp from before or after the clock was set": 4}


def test_satellite_fixes_without_a_fix_or_a_stamp(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        for i in range(-2, COUNT + 1):
            stamp = START + i * SECOND
            known = i >= 0
            fix = make.fix(stamp if i != -2 else 0, *((48 + 4e-5 * i, 11.0) if known else (0.0, 0.0)))
            bag.write("/fix", fix, stamp)
        bag.write("/fix", make.fix(START + 2 * SECOND + HALF, 48.2, 11.0), START + 2 * SECOND + HALF)  # 20 km
        bag.write("/fix", make.fix(0, 48 + 1e-4, 11.0), START + 3 * SECOND + HALF)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    source = BagSource.open(tmp_path / "drive")
    frames = list(source)
    np.testing.assert_allclose(
        [frame.pose.position[1] for frame in frames], 4.4475 * (np.arange(COUNT) + 0.5), atol=0.02
    )
    assert source.skipped == {
        "satellite fix without a position": 2,
        JUMP: 1,
        "pose stamp never set": 1,
    }


def test_two_publishers_on_one_topic(tmp_path, caplog):
    entries = [(s + i, s + i, pose if i == 0 else AWAY) for s, pose in arc() for i in (0, 1)]
    frames = [("odom", "base_link"), ("odom", "wheels")]
    source = BagSource.open(write_odometry(tmp_path / "drive", entries, frames))
    assert_on_arc(list(source))
    assert source.skipped == {"pose of other frames": COUNT + 1}
    (error,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "odom <- base_link are used, 7 of odom <- wheels left out" in error.message


def test_first_message_with_odd_frames_does_not_decide(tmp_path):
    entries = [(s, s, pose) for s, pose in arc()]
    odd = [("", ""), *[("odom", "base_link")] * COUNT]
    source = BagSource.open(write_odometry(tmp_path / "drive", entries, odd), SourceOptions(map_frame="odom"))
    assert source.frame_id == "odom"
    assert len(list(source)) == COUNT - 1


def test_poses_in_two_frames_on_one_topic(tmp_path, caplog):
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, pose in arc():
            bag.write("/pose", bag.messages.pose_stamped(stamp, pose), stamp)
            bag.write("/pose", bag.messages.pose_stamped(stamp + 1, AWAY, "odom"), stamp + 1)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp)
    assert_on_arc(list(BagSource.open(tmp_path / "drive")))
    assert "Poses of map are used, 7 of odom left out" in caplog.text


def test_two_publishers_with_the_same_frames(tmp_path):
    entries = [
        (s + i * HALF // 5, s + i * HALF // 5, pose if i == 0 else AWAY) for s, pose in arc() for i in (0, 1)
    ]
    source = BagSource.open(write_odometry(tmp_path / "drive", entries))
    assert_on_arc(list(source))
    assert source.skipped == {JUMP: COUNT + 1}


def test_fixed_joint_that_was_sent_once_on_tf(tmp_path):
    with BagWriter(tmp_path / "drive") as bag:
        make = bag.messages
        bag.write("/tf", make.transforms(START, ("base_footprint", "base_link", FOOT_FROM_BASE)), START)
        for stamp, pose in arc():
            bag.write("/tf", make.transforms(stamp, ("odom", "base_footprint", pose)), stamp)
        for stamp, picture in pictures():
            bag.write("/camera/image_raw", make.image(stamp, picture), stamp)
    assert_on_arc(list(BagSource.open(tmp_path / "drive")), after=FOOT_FROM_BASE, atol=LEVER_ARM)
