"""Poses of a recording, many and not all of them sound."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np

from netvlad_core.data.geometry import HUGE_QUATERNION, NOT_FINITE, TOO_FAR, ZERO_QUATERNION
from netvlad_core.data.judges.clocks import judge_recording
from netvlad_core.data.judges.positions import JUMP
from netvlad_core.data.pose_log import PoseLog, kept_by

SECOND = 10**9


def test_log_keeps_the_sound_poses_and_counts_the_others() -> None:
    log, skipped = PoseLog(), Counter[str]()
    nan = float("nan")
    rows = [
        (1, 1.0, 1.0),
        (2, nan, 1.0),
        (3, 3.0, 0.0),
        (4, 4.0, 2.0),
        (2, 5.0, 1.0),
        (4, 6.0, 1.0),
        (5, 7.0, nan),
        (6, 8.0, 1e200),
        (7, 1e300, 1.0),
    ]
    for stamp, x, w in rows:
        stamp *= SECOND // 10
        log.add_pose(
            stamp, stamp, SimpleNamespace(x=x, y=0.0, z=0.0), SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w)
        )
    trajectory = log.trajectory(skipped)
    np.testing.assert_array_equal(trajectory.stamps, [SECOND // 10, 4 * SECOND // 10])
    np.testing.assert_array_equal(trajectory.positions[:, 0], [1, 4])
    np.testing.assert_array_equal(trajectory.quaternions, [[0, 0, 0, 1]] * 2)
    assert skipped == {
        NOT_FINITE: 2,
        ZERO_QUATERNION: 1,
        HUGE_QUATERNION: 1,
        TOO_FAR: 1,
        "pose stamp out of order": 1,
    }


def test_values_are_kept_with_their_stamps() -> None:
    stamps = np.arange(6) * SECOND + SECOND
    stamps[2], stamps[4] = 90 * SECOND, 4 * SECOND
    values = np.column_stack([np.arange(6.0), np.zeros((6, 2)), 10 + np.arange(6.0)])
    values[5, 0] = 1e6
    skipped: Counter[str] = Counter()
    kept, rows = kept_by(judge_recording(stamps, np.arange(6) * SECOND + SECOND), values, skipped)
    np.testing.assert_array_equal(kept, [SECOND, 2 * SECOND, 4 * SECOND])
    np.testing.assert_array_equal(rows[:, 3], [10, 11, 13])
    # The repeated stamp is usual in TF and does not count.
    assert skipped == {"pose stamp of another clock": 1, JUMP: 1}


def test_clock_that_stands_still_is_counted() -> None:
    skipped: Counter[str] = Counter()
    clock = judge_recording(np.full(5, 7 * SECOND), np.arange(5) * SECOND)
    assert len(kept_by(clock, np.zeros((5, 3)), skipped)[0]) == 1
    assert skipped == {"pose stamp repeated": 4}
