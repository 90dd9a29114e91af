"""Poses as they come out of a recording, many and not all of them sound, turned into a trajectory."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from netvlad_core.data.geometry import MIN_QUATERNION_NORM
from netvlad_core.data.trajectory import Trajectory

NOT_FINITE = "pose with NaN or infinity"
ZERO_QUATERNION = "pose with a zero quaternion"
BACKWARDS = "pose stamp going backwards"


class PoseLog:
    """Collects the numbers of stamped poses, 64 bytes each, and checks them all at once at the end."""

    def __init__(self) -> None:
        self._stamps = array("q")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp: int, position: Any, orientation: Any) -> None:
        """Note one pose as a message holds it: a position with x y z and an orientation with x y z w."""
        self._stamps.append(stamp)
        self._values.extend(
            (position.x, position.y, position.z, orientation.x, orientation.y, orientation.z, orientation.w)
        )

    def trajectory(self, skipped: Counter[str]) -> Trajectory:
        """Return the sound poses; add the reasons and counts of the others to `skipped`."""
        stamps = np.array(self._stamps, dtype=np.int64)
        values = np.array(self._values, dtype=np.float64).reshape(-1, 7)
        is_finite = np.logical_and.reduce(np.isfinite(values), axis=1)
        norms = np.linalg.norm(np.where(is_finite[:, None], values[:, 3:], 1.0), axis=1)
        has_direction = norms >= MIN_QUATERNION_NORM
        is_sound = is_finite & has_direction
        count_skips(skipped, {NOT_FINITE: ~is_finite, ZERO_QUATERNION: ~has_direction})
        stamps, values, norms = stamps[is_sound], values[is_sound], norms[is_sound]
        kept = forward_only(stamps, skipped)
        return Trajectory(stamps[kept], values[kept, :3], values[kept, 3:] / norms[kept, None])


def forward_only(stamps: np.ndarray, skipped: Counter[str]) -> np.ndarray:
    """Mark the rows that leave the stamps strictly increasing.

    Parameters
    ----------
    stamps : (N,) int64, in the order of recording. Where the clock jumps back, all is left out until it has
        caught up, and counted; of a stamp that is repeated the last row stays, which is usual in TF.

    Returns
    -------
    (N,) bool.
    """
    if not len(stamps):
        return np.zeros(0, dtype=bool)
    is_forward = stamps >= np.maximum.accumulate(stamps)
    count_skips(skipped, {BACKWARDS: ~is_forward})
    rows = np.flatnonzero(is_forward)
    is_last_of_stamp = np.append(np.diff(stamps[rows]) > 0, True)
    kept = np.zeros(len(stamps), dtype=bool)
    kept[rows[is_last_of_stamp]] = True
    return kept


def count_skips(skipped: Counter[str], reasons: dict[str, np.ndarray]) -> None:
    """Add the number of marked rows to each reason that has any; reasons map to (N,) bool."""
    skipped.update({reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()})
