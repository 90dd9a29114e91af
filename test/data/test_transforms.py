"""The tree of frames without any bag around it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.data.transforms import TransformTree, compose_chain
from netvlad_core.errors import SourceError

SECOND = 10**9


class Vector:
    """A vector or quaternion as messages have it."""

    def __init__(self, *values: float) -> None:
        vars(self).update(zip("xyzw", values, strict=False))


def add_moving(tree: TransformTree, parent: str, child: str, stamp: int, pose: Pose) -> None:
    tree.add_moving(parent, child, stamp, stamp, Vector(*pose.position), Vector(*pose.quaternion))


def turning(stamp: int) -> Pose:
    """Turn steadily, one radian a second; interpolation between any two of these is exact."""
    return Pose(np.array([0.0, 0.0, stamp / SECOND]), Rotation.from_euler("z", stamp / SECOND).as_quat())


def test_chain_of_two_moving_transforms_at_different_rates():
    slow = Trajectory.from_poses([(s, turning(s)) for s in range(0, 10 * SECOND, SECOND)])
    fast = Trajectory.from_poses([(s, turning(s)) for s in range(SECOND // 2, 9 * SECOND // 2, SECOND // 7)])
    arm = Pose.from_values([2.0, 0.5, -1.0], [0.3, -0.2, 0.1, 0.9])
    chain = compose_chain([slow, arm, fast], max_gap=1.5)
    assert chain.stamps[0] == SECOND // 2
    assert chain.stamps[-1] == fast.stamps[-1]
    assert set(fast.stamps.tolist()) <= set(chain.stamps.tolist())
    for row, stamp in enumerate(chain.stamps.tolist()):
        expected = turning(stamp) @ arm @ turning(stamp)
        np.testing.assert_allclose(chain.positions[row], expected.position, atol=1e-9)
        assert rotation_between(chain.quaternions[row], expected.quaternion) < 1e-6


def test_chain_without_a_common_time_is_empty():
    early = Trajectory.from_poses([(0, Pose.identity())])
    late = Trajectory.from_poses([(100 * SECOND, Pose.identity())])
    assert len(compose_chain([early, late], max_gap=1.0)) == 0


def test_fixed_between_goes_up_and_down_the_tree():
    tree = TransformTree()
    base_from_mast, mast_from_camera = (
        Pose.from_xyz_yaw(0, 0, 1, yaw=0.5),
        Pose.from_xyz_yaw(0.3, 0, yaw=-0.2),
    )
    base_from_gps = Pose.from_xyz_yaw(-1, 0.2, 0.5, yaw=1.0)
    tree.add_fixed("base_link", "mast", base_from_mast)
    tree.add_fixed("mast", "camera", mast_from_camera)
    tree.add_fixed("base_link", "gps", base_from_gps)
    add_moving(tree, "odom", "base_link", 1, Pose.identity())
    expected = base_from_gps.inverse() @ base_from_mast @ mast_from_camera
    found = tree.fixed_between("gps", "camera")
    np.testing.assert_allclose(found.position, expected.position, atol=1e-12)
    assert rotation_between(found.quaternion, expected.quaternion) < 1e-6
    np.testing.assert_array_equal(tree.fixed_between("camera", "camera").position, 0)
    assert tree.fixed_between("camera", "odom") is None
    assert tree.fixed_between("camera", "elsewhere") is None


def test_top_of_the_tree_where_nothing_is_named_map_or_odom():
    tree = TransformTree()
    add_moving(tree, "world", "vehicle", SECOND, Pose.from_xyz_yaw(1, 2))
    tree.add_fixed("earth", "world", Pose.from_xyz_yaw(100, 0))
    frame, trajectory = tree.trajectory("vehicle", None, 1.0, Counter())
    assert frame == "earth"
    np.testing.assert_array_equal(trajectory.positions, [[101, 2, 0]])


def test_frame_below_two_parents_follows_the_wanted_one():
    tree = TransformTree()
    add_moving(tree, "odom", "base_link", SECOND, Pose.from_xyz_yaw(1, 0))
    add_moving(tree, "map", "base_link", SECOND, Pose.from_xyz_yaw(5, 0))
    for frame, x in (("odom", 1), ("map", 5)):
        assert tree.trajectory("base_link", frame, 1.0, Counter())[1].positions[0, 0] == x


def test_ring_of_frames_ends():
    tree = TransformTree()
    add_moving(tree, "a", "b", SECOND, Pose.identity())
    add_moving(tree, "b", "a", SECOND, Pose.identity())
    with pytest.raises(SourceError, match="from map to b; frames above b: a"):
        tree.trajectory("b", "map", 1.0, Counter())
