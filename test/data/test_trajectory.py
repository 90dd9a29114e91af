"""Poses between poses, and TUM files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import Trajectory, read_tum, seconds, stamp_from_seconds, write_tum
from netvlad_core.errors import SourceError

SECOND = 10**9


@pytest.fixture
def turning() -> Trajectory:
    """East from 0 to 10 m in a second, turning left by 90 degrees; then nothing for nine seconds."""
    return Trajectory.from_poses(
        [
            (10 * SECOND, Pose.from_xyz_yaw(0, 0)),
            (11 * SECOND, Pose.from_xyz_yaw(10, 0, yaw=np.pi / 2)),
            (20 * SECOND, Pose.from_xyz_yaw(100, 0, yaw=np.pi / 2)),
        ]
    )


def test_between_two_poses(turning):
    pose = turning.at(10 * SECOND + SECOND // 4)
    np.testing.assert_allclose(pose.position, [2.5, 0, 0])
    assert pose.yaw == pytest.approx(np.pi / 8)


def test_on_a_pose(turning):
    np.testing.assert_array_equal(turning.at(20 * SECOND, max_gap=0.001).position, [100, 0, 0])


@pytest.mark.parametrize("stamp", [15 * SECOND, 9 * SECOND, 21 * SECOND, 0])
def test_nothing_is_known_far_from_poses(turning, stamp):
    assert turning.at(stamp, max_gap=1.0) is None


@pytest.mark.parametrize(
    ("stamp", "x"), [(9.95, 0.0), (11.05, 10.0), (19.95, 100.0), (20.05, 100.0)], ids=str
)
def test_nearest_pose_holds_for_a_tenth_of_the_gap(turning, stamp, x):
    assert turning.at(round(stamp * SECOND), max_gap=1.0).position[0] == x


def test_wider_gap_bridges(turning):
    assert turning.at(15 * SECOND + SECOND // 2, max_gap=9.0).position[0] == pytest.approx(55)


def test_rotation_takes_the_short_way():
    trajectory = Trajectory.from_poses(
        [
            (0, Pose.from_xyz_yaw(0, 0, yaw=np.radians(170))),
            (SECOND, Pose.from_xyz_yaw(0, 0, yaw=np.radians(-170))),
        ]
    )
    assert abs(trajectory.at(SECOND // 2).yaw) == pytest.approx(np.pi)


def test_rotation_agrees_with_scipy():
    stamps = np.arange(4) * SECOND
    quaternions = Rotation.random(4, np.random.default_rng(3)).as_quat()
    between = np.arange(0, 3 * SECOND, SECOND // 7)
    found = Trajectory(stamps, np.zeros((4, 3)), quaternions).sampled_at(between).quaternions
    expected = Slerp(stamps / SECOND, Rotation.from_quat(quaternions))(between / SECOND).as_quat()
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1.0, atol=1e-12)


def test_real_stamps_keep_their_nanoseconds():
    start = 1_700_000_000 * SECOND
    trajectory = Trajectory.from_poses(
        [(start, Pose.from_xyz_yaw(0, 0)), (start + 1000, Pose.from_xyz_yaw(1000, 0))]
    )
    assert trajectory.at(start + 137).position[0] == pytest.approx(137)


def test_samples_leave_out_what_is_not_covered(turning):
    stamps = np.array([5, 10, 10.5, 15, 20]) * SECOND
    sample = turning.sampled_at(stamps.astype(np.int64), max_gap=1.0)
    np.testing.assert_array_equal(sample.stamps, np.array([10, 10.5, 20]) * SECOND)
    np.testing.assert_allclose(sample.positions[:, 0], [0, 5, 100])


def test_empty_trajectory_knows_nothing():
    empty = Trajectory.from_poses([])
    assert len(empty) == 0
    assert empty.at(0) is None
    assert len(empty.moved(Pose.from_xyz_yaw(1, 0))) == 0


def test_poses_are_sorted_and_the_last_of_a_stamp_stays():
    trajectory = Trajectory.from_poses(
        [(2, Pose.from_xyz_yaw(2, 0)), (1, Pose.from_xyz_yaw(1, 0)), (2, Pose.from_xyz_yaw(3, 0))]
    )
    np.testing.assert_array_equal(trajectory.stamps, [1, 2])
    np.testing.assert_array_equal(trajectory.positions[:, 0], [1, 3])


def test_moved_by_a_lever_arm(turning):
    moved = turning.moved(Pose.from_xyz_yaw(1.0, 0.0, yaw=np.pi / 2))
    np.testing.assert_allclose(moved.positions[:2], [[1, 0, 0], [10, 1, 0]], atol=1e-12)
    assert moved[0].yaw == pytest.approx(np.pi / 2)


def test_moved_is_the_product_of_poses():
    body = [Pose.from_values([i, 2, 3], [0.1 * i, -0.3, 0.2, 0.9]) for i in range(3)]
    child = Pose.from_values([0.5, -1, 2], [0.4, 0.1, -0.6, 0.5])
    moved = Trajectory.from_poses(enumerate(body)).moved(child)
    for i, pose in enumerate(body):
        np.testing.assert_allclose(moved[i].position, (pose @ child).position, atol=1e-12)
        np.testing.assert_allclose(np.abs(moved[i].quaternion @ (pose @ child).quaternion), 1.0)


def test_tum_round_trip(tmp_path):
    file = tmp_path / "poses.tum"
    poses = [
        (1_700_000_000_123_456_789, Pose.from_values([1.5, -2.25, 0.125], [0.5, 0.5, -0.5, 0.5])),
        (1_700_000_001_000_000_001, Pose.from_xyz_yaw(1e6, 0)),
    ]
    write_tum(file, poses)
    trajectory = read_tum(file)
    np.testing.assert_array_equal(trajectory.stamps, [stamp for stamp, _ in poses])
    for index, (_, pose) in enumerate(poses):
        np.testing.assert_allclose(trajectory[index].position, pose.position)
        np.testing.assert_allclose(trajectory[index].quaternion, pose.quaternion)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "holds no pose"),
        ("# only a comment\n", "holds no pose"),
        ("# head\n1 2 3\n", "line 2: .* found 3 fields"),
        ("1 0 0 0 0 0 0 1\n2 0 0 zero 0 0 0 1\n", "line 2: .*zero"),
        ("1 0 0 nan 0 0 0 1\n", "line 1: .*not finite"),
        ("1 0 0 0 0 0 0 0\n", "line 1: .*zero length"),
        ("never 0 0 0 0 0 0 1\n", "line 1: .*no number of seconds"),
        ("1700000000000000000 0 0 0 0 0 0 1\n", "line 1: .*nanoseconds meant"),
    ],
)
def test_broken_tum_names_the_line(tmp_path, content, found):
    file = tmp_path / "broken.tum"
    file.write_text(content)
    with pytest.raises(SourceError, match=found) as caught:
        read_tum(file)
    assert "broken.tum" in str(caught.value)


def test_missing_tum(tmp_path):
    with pytest.raises(SourceError, match="cannot read the trajectory"):
        read_tum(tmp_path / "none.tum")


def test_seconds_are_exact():
    for stamp in (1_750_000_000_123_456_789, 5, 0, -3 * SECOND // 2, np.int64(10**18)):
        assert stamp_from_seconds(seconds(stamp)) == stamp
    assert seconds(1_750_000_000_123_456_789) == "1750000000.123456789"
    assert stamp_from_seconds("1700000000.123456789") == 1_700_000_000_123_456_789
    assert stamp_from_seconds("1.5e3") == 1500 * SECOND


@pytest.mark.timeout(5)  # as whole numbers the first two take minutes
@pytest.mark.parametrize("text", ["1e999990", "-1e999990", "1e10", "9223372036.854775808"])
def test_stamp_beyond_all_times_is_refused_at_once(text):
    with pytest.raises(ValueError, match="too large for seconds"):
        stamp_from_seconds(text)


@pytest.mark.parametrize("text", ["nan", "inf", "", "1,5", "9" * 100_000 + "e" + "9" * 100_000, "sNaN"])
def test_what_is_no_number_of_seconds(text):
    with pytest.raises(ValueError, match="no number of seconds"):
        stamp_from_seconds(text)
