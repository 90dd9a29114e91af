"""A short drive whose poses and images are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.data.trajectory import Trajectory
from support.images import known_picture

IDENTITY = Pose.identity()
SECOND = 10**9
START = 1_700_000_000 * SECOND
HALF = SECOND // 2
COUNT = 6


def arc(count: int = COUNT + 1) -> list[tuple[int, Pose]]:
    """One pose a second, 2 m apart, turning left by 20 degrees each."""
    heading = np.radians(20) * np.arange(count)
    points = np.cumsum(2 * np.column_stack([np.cos(heading), np.sin(heading)]), axis=0)
    return [
        (START + i * SECOND, Pose.from_xyz_yaw(x, y, 0.1 * i, heading[i])) for i, (x, y) in enumerate(points)
    ]


def pictures(count: int = COUNT) -> list[tuple[int, np.ndarray]]:
    """Return one image a second, half a second after each pose."""
    return [(START + HALF + i * SECOND, known_picture(phase=0.5 * i)) for i in range(count)]


def bag_path(folder: Path, storage: str) -> Path:
    return folder / ("drive.bag" if storage == "ros1" else "drive")


def storage_file(path: Path) -> Path:
    return path if path.is_file() else next(f for f in path.iterdir() if f.suffix in (".mcap", ".db3"))


def assert_on_arc(
    frames: list[Frame], before: Pose = IDENTITY, after: Pose = IDENTITY, atol: float = 1e-6
) -> None:
    """Check that each frame has the pose `before @ arc @ after`, between two poses of the arc."""
    trajectory = Trajectory.from_poses(arc())
    assert len(frames) == COUNT
    for frame in frames:
        on_arc = trajectory.at(frame.stamp)
        assert on_arc is not None
        assert frame.pose is not None
        expected = before @ on_arc @ after
        np.testing.assert_allclose(frame.pose.position, expected.position, atol=atol)
        assert rotation_between(frame.pose.quaternion, expected.quaternion) < max(1e-6, atol)
