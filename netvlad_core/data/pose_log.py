"""Poses of a recording, not all of them sound, become a trajectory."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from netvlad_core.data.geometry import pose_faults
from netvlad_core.data.judges.clocks import REPEATED, RecordedClock, judge_recording
from netvlad_core.data.judges.positions import JUMP, reachable
from netvlad_core.data.trajectory import Trajectory


class MessageLog:
    """Collects numbers of messages, 8 bytes each, to be judged all at once at the end."""

    def __init__(self, width: int) -> None:
        """Take how many numbers a message has besides its times."""
        self._width = width
        self._times = array("q")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._times) // 2

    def add(self, stamp: int, received: int, *values: float) -> None:
        self._times.extend((stamp, received))
        self._values.extend(values)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stamps and times of recording (N,) int64 in nanoseconds, and the other numbers (N, width)."""
        stamps, received = np.array(self._times, dtype=np.int64).reshape(-1, 2).T
        return stamps, received, np.array(self._values, dtype=np.float64).reshape(-1, self._width)


class PoseLog(MessageLog):
    """Stamped poses.

    Attributes
    ----------
    clock : clock of the sound poses, once `trajectory` has been called.
    """

    def __init__(self) -> None:
        super().__init__(7)
        self.clock = judge_recording([], [])

    def add_pose(self, stamp: int, received: int, position: Any, orientation: Any) -> None:
        """Note one pose as a message holds it: a position with x y z and an orientation with x y z w."""
        turn = (orientation.x, orientation.y, orientation.z, orientation.w)
        self.add(stamp, received, position.x, position.y, position.z, *turn)

    def trajectory(self, skipped: Counter[str]) -> Trajectory:
        """Return the sound poses; add the reasons and counts of the others to `skipped`."""
        stamps, received, values = self.columns()
        faults = pose_faults(values[:, :3], values[:, 3:])
        count_skips(skipped, faults)
        is_sound = ~np.any(list(faults.values()), axis=0)
        self.clock = judge_recording(stamps[is_sound], received[is_sound])
        values = values[is_sound]
        values[:, 3:] /= np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
        stamps, values = kept_by(self.clock, values, skipped)
        return Trajectory(stamps, values[:, :3], values[:, 3:])


def kept_by(clock: RecordedClock, values: np.ndarray, skipped: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """Stamps and values of the poses whose stamp is right and whose position a robot can have reached.

    Parameters
    ----------
    clock : clock of N poses.
    values : (N, 3 or more), beginning with x y z in metres.
    skipped : takes the reasons and counts of the others; some repeated ones are usual in TF and do not
        count, a clock that stands still does.
    """
    left_out = clock.left_out
    if 2 * left_out[REPEATED] <= len(clock.stamps):
        del left_out[REPEATED]
    skipped.update({f"pose {reason}": count for reason, count in left_out.items()})
    stamps, values = clock.stamps[clock.is_kept], values[clock.is_kept]
    is_reached = reachable(stamps, values[:, :3])
    count_skips(skipped, {JUMP: ~is_reached})
    return stamps[is_reached], values[is_reached]


def count_skips(skipped: Counter[str], reasons: dict[str, np.ndarray]) -> None:
    """Add the number of marked rows to each reason that has any; reasons map to (N,) bool."""
    skipped.update({reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()})
