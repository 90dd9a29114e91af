"""Poses over time, and the pose at any instant between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import PoseError, SourceError
from netvlad_core.files import read_file

# One pose a second, the rate of a plain GPS, must count as continuous with its jitter.
MAX_GAP = 1.5


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of one body, in the order of their stamps.

    Attributes
    ----------
    stamps : (N,) int64, nanoseconds, strictly increasing.
    positions : (N, 3) float64, metres.
    quaternions : (N, 4) float64, x y z w.
    """

    stamps: np.ndarray
    positions: np.ndarray
    quaternions: np.ndarray

    @classmethod
    def from_poses(cls, poses: Iterable[tuple[int, Pose]]) -> Trajectory:
        """Sort stamped poses; of poses with one stamp the last one stays."""
        by_stamp = dict(sorted(dict(poses).items()))
        return cls(
            np.array(list(by_stamp), dtype=np.int64),
            np.array([pose.position for pose in by_stamp.values()], dtype=np.float64).reshape(-1, 3),
            np.array([pose.quaternion for pose in by_stamp.values()], dtype=np.float64).reshape(-1, 4),
        )

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, index: int) -> Pose:
        return Pose(self.positions[index], self.quaternions[index])

    @property
    def constant(self) -> Pose | None:
        """The pose, if all are the same."""
        values = np.column_stack([self.positions, self.quaternions])
        return self[0] if len(self) and not np.ptp(values, axis=0).any() else None

    def at(self, stamp: int, max_gap: float = MAX_GAP) -> Pose | None:
        """Pose at an instant, or None if the trajectory does not cover it; see `sampled_at`."""
        sample = self.sampled_at([stamp], max_gap)
        return sample[0] if len(sample) else None

    def sampled_at(self, stamps: ArrayLike, max_gap: float = MAX_GAP) -> Trajectory:
        """Poses at the instants that the trajectory covers: linear in position, slerp in rotation.

        Parameters
        ----------
        stamps : (M,) int64, nanoseconds, strictly increasing.
        max_gap : seconds. Instants between two poses further apart than this, before the first pose and after
            the last one are left out, except for a tenth of this around each pose.
        """
        stamps = np.asarray(stamps, dtype=np.int64)
        if not len(self):
            return self
        last = len(self) - 1
        found = np.searchsorted(self.stamps, stamps)
        after = found.clip(0, last)
        before = np.where(self.stamps[after] == stamps, after, found - 1).clip(0, last)
        gap = self.stamps[after] - self.stamps[before]
        since, until = stamps - self.stamps[before], self.stamps[after] - stamps
        is_between = (gap > 0) & (gap <= max_gap * 1e9)
        is_near = np.minimum(np.abs(since), np.abs(until)) <= max_gap * 1e8
        fraction = np.where(gap > 0, since / np.maximum(gap, 1), 0.0)
        fraction = np.where(is_between, fraction, fraction.round())
        covered = is_between | is_near
        if not covered.any():
            return Trajectory.from_poses([])
        before, after, weight = before[covered], after[covered], fraction[covered, None]
        start, end = Rotation.from_quat(self.quaternions[before]), Rotation.from_quat(self.quaternions[after])
        turn = Rotation.from_rotvec(weight * (start.inv() * end).as_rotvec())
        positions = (1 - weight) * self.positions[before] + weight * self.positions[after]
        return Trajectory(stamps[covered], positions, (start * turn).as_quat())

    def moved(self, child: Pose) -> Trajectory:
        """Trajectory of another frame on the body; `child` is body <- child, e.g. sensor <- base_link."""
        if not len(self):
            return self
        rotations = Rotation.from_quat(self.quaternions)
        positions = self.positions + rotations.apply(child.position)
        return Trajectory(self.stamps, positions, (rotations * child.rotation).as_quat())


def read_tum(path: Path) -> Trajectory:
    """Read a TUM trajectory: lines of `stamp x y z qx qy qz qw`, seconds and metres, # for comments.

    Raises
    ------
    SourceError
        If the file is missing, empty or a line has not eight numbers.
    """
    poses = []
    try:
        lines = read_file(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the trajectory {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split("#")[0].replace(",", " ").split()
        if not fields:
            continue
        try:
            if len(fields) != 8:
                raise ValueError(f"found {len(fields)} fields")
            x, y, z, *quaternion = map(float, fields[1:])
            poses.append((stamp_from_seconds(fields[0]), Pose.from_values([x, y, z], quaternion)))
        except (ValueError, PoseError) as error:
            expected = "expected stamp x y z qx qy qz qw"
            raise SourceError(f"{path}, line {number}: {expected}; {error}") from error
    if not poses:
        raise SourceError(f"the trajectory {path} holds no pose")
    return Trajectory.from_poses(poses)


def write_tum(path: Path, poses: Iterable[tuple[int, Pose]], remark: str = "") -> None:
    """Write stamped poses as a TUM trajectory; a remark becomes its first line."""
    with path.open("w") as file:
        if remark:
            file.write(f"# {remark}\n")
        file.write("# timestamp tx ty tz qx qy qz qw\n")
        for stamp, pose in poses:
            values = " ".join(f"{v:.9f}" for v in (*pose.position, *pose.quaternion))
            file.write(f"{seconds(stamp)} {values}\n")


def seconds(stamp: int) -> str:
    """A stamp in nanoseconds as seconds with all its digits, as tables and trajectories have it."""
    return f"{Decimal(int(stamp)).scaleb(-9):.9f}"


def stamp_from_seconds(text: str) -> int:
    """Nanoseconds of a decimal number of seconds, exact to the last digit; raises ValueError."""
    try:
        nanoseconds = Decimal(text).scaleb(9)
        is_small = abs(nanoseconds) < 2**63  # compared before it is whole: 1e999990 has a million digits
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is no number of seconds") from error
    if nanoseconds.is_infinite():
        raise ValueError(f"{text!r} is no number of seconds")
    if not is_small:
        raise ValueError(f"stamp {text} is too large for seconds; were nanoseconds meant?")
    return int(nanoseconds)
