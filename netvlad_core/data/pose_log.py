"""Poses as they come out of a recording, many and not all of them sound, turned into a trajectory."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from netvlad_core.data.geometry import MIN_QUATERNION_NORM
from netvlad_core.data.judges.clocks import REPEATED, RecordedClock, judge_recording
from netvlad_core.data.judges.positions import JUMP, reachable
from netvlad_core.data.trajectory import Trajectory

NOT_FINITE = "pose with NaN or infinity"
ZERO_QUATERNION = "pose with a zero quaternion"


class PoseLog:
    """Collects the numbers of stamped poses, 72 bytes each, and judges them all at once at the end.

    Attributes
    ----------
    clock : of the sound poses, once `trajectory` has been called.
    """

    def __init__(self) -> None:
        self.clock = judge_recording([], [])
        self._stamps = array("q")
        self._received = array("q")
        self._values = array("d")

    @property
    def remarks(self) -> list[str]:
        """What is unusual in the clock, a sentence or none."""
        return [self.clock.remark] * bool(self.clock.remark)

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp: int, received: int, position: Any, orientation: Any) -> None:
        """Note one pose as a message holds it: a position with x y z and an orientation with x y z w."""
        self._stamps.append(stamp)
        self._received.append(received)
        self._values.extend(
            (position.x, position.y, position.z, orientation.x, orientation.y, orientation.z, orientation.w)
        )

    def trajectory(self, skipped: Counter[str]) -> Trajectory:
        """Return the sound poses; add the reasons and counts of the others to `skipped`."""
        values = np.array(self._values, dtype=np.float64).reshape(-1, 7)
        is_finite = np.logical_and.reduce(np.isfinite(values), axis=1)
        norms = np.linalg.norm(np.where(is_finite[:, None], values[:, 3:], 1.0), axis=1)
        has_direction = norms >= MIN_QUATERNION_NORM
        is_sound = is_finite & has_direction
        count_skips(skipped, {NOT_FINITE: ~is_finite, ZERO_QUATERNION: ~has_direction})
        values[:, 3:] /= np.where(is_sound, norms, 1.0)[:, None]
        self.clock = judge_recording(np.array(self._stamps)[is_sound], np.array(self._received)[is_sound])
        stamps, values = kept_by(self.clock, values[is_sound], skipped)
        return Trajectory(stamps, values[:, :3], values[:, 3:])


def kept_by(clock: RecordedClock, values: np.ndarray, skipped: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """Take the poses whose stamp is right and whose position a robot can have reached.

    Parameters
    ----------
    clock : of N poses.
    values : (N, 3 or more), beginning with x y z in metres.
    skipped : takes the reasons and counts of the others; some repeated ones are usual in TF and do not
        count, a clock that stands still does.

    Returns
    -------
    Stamps (M,) int64 and the rows of values that belong to them.
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
