"""Judges positions: jumps that no robot makes, satellite fixes without a fix, units that are not metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.judges.majority import LASTING, Majority, stretches
from netvlad_core.data.radii import CORRECT_WITHIN, POSITIVE_WITHIN

JUMP = "position that no robot can have reached, if it is in metres"
NO_FIX = "satellite fix without a position"

# Metres a second: faster than a train; metres: what odometry may correct from one message to the next.
_FASTEST, _CORRECTION = 100.0, 2.0
_UNKNOWN_COVARIANCE = 0  # sensor_msgs/NavSatFix COVARIANCE_TYPE_UNKNOWN
# Fewer places than this may lie together on a real drive.
_FEW = 10


class _Stood(NamedTuple):
    stamp: int
    position: np.ndarray


class JumpJudge:
    """Judges the positions of a robot one by one; a jump that lasts is a new origin, not an error."""

    def __init__(self) -> None:
        self._series: Majority[_Stood] = Majority(_is_reachable)

    def judge(self, stamp: int, position: np.ndarray) -> int | None:
        """Judge a position (3,) in metres at a stamp in nanoseconds; see `Majority.take`."""
        return self._series.take(_Stood(stamp, position))


def _is_reachable(before: _Stood, after: _Stood) -> bool:
    seconds = abs(after.stamp - before.stamp) / 1e9
    return bool(np.linalg.norm(after.position - before.position) <= _CORRECTION + _FASTEST * seconds)


def reachable(stamps: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Mark positions (N, 3) in metres that a robot can have reached at increasing stamps in nanoseconds."""
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if not (steps > _CORRECTION + _FASTEST * np.diff(stamps) / 1e9).any():
        return np.ones(len(stamps), dtype=bool)
    judge = JumpJudge()
    judged = (judge.judge(stamp, position) for stamp, position in zip(stamps.tolist(), positions))
    found = stretches(enumerate(judged))
    if len(found) > 1 and found[1][0] < LASTING:  # the first stretch was the accident
        del found[0]
    return np.isin(np.arange(len(stamps)), np.concatenate(found))


def has_fix(
    latitudes: np.ndarray, longitudes: np.ndarray, statuses: np.ndarray, covariance_types: np.ndarray
) -> np.ndarray:
    """Mark the messages of a satellite receiver that hold a position.

    Parameters
    ----------
    latitudes, longitudes : (N,) degrees. Receivers without a fix repeat 0, 0.
    statuses : (N,) int, of NavSatStatus; below 0 there is no fix.
    covariance_types : (N,) int, of NavSatFix. Messages of unknown covariance hold no fix if the receiver
        knows the covariance of most others.
    """
    has_position = (np.abs(latitudes) <= 90) & (np.abs(longitudes) <= 180)  # neither NaN nor infinite
    has_position &= (statuses >= 0) & ((latitudes != 0) | (longitudes != 0))
    is_unknown = covariance_types == _UNKNOWN_COVARIANCE
    knows_most = (has_position & ~is_unknown).sum() > (has_position & is_unknown).sum()
    return has_position & ~(is_unknown & knows_most)


def doubts_about_units(positions: np.ndarray, within: float = POSITIVE_WITHIN) -> str:
    """Say in a sentence what speaks against metres, empty if the positions are plausible.

    Parameters
    ----------
    positions : (N, 2 or 3) of the places of a map or of a catalogue; rows with NaN are left alone.
    within : metres; the places of a real drive spread farther than this.
    """
    points = positions[np.isfinite(positions).all(axis=1), :2]
    if len(points) < _FEW:
        return ""
    extent = float(np.linalg.norm(np.ptp(points, axis=0)))
    if extent <= within:
        return (
            f"all {len(points)} places lie within {extent:.3g} m of each other, so each counts as correct "
            "for any other; if they do not, x and y are degrees, kilometres or without a scale, not metres"
        )
    nearest = float(np.median(cKDTree(points).query(points, 2)[0][:, 1]))
    if nearest > 4 * CORRECT_WITHIN:
        return (
            f"half of the {len(points)} places are more than {nearest:.0f} m from any other; if they are "
            "nearer, x and y are millimetres, not metres"
        )
    return ""
