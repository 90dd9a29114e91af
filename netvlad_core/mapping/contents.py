"""What the arrays of a map may hold, judged when a map is written and when it is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.search import Rows

# Least and greatest length of a descriptor: 1 but for rounding to float16.
_UNIT = (0.99, 1.01)
_LATEST = 1 << 62  # nanoseconds from 1970; differences of such stamps are exact
_FARTHEST = 1e9  # metres from the origin
_BLOCK = 4096  # descriptors in memory at a time


def check_places(folder: Path, stamps: np.ndarray, poses: np.ndarray, directions: np.ndarray | None) -> None:
    """Raise MapError, with the place, for a stamp, pose or direction that cannot be.

    Parameters
    ----------
    folder : of the map.
    stamps : (N,) int64, nanoseconds.
    poses : (N, 7) float64; a row of NaN is no pose.
    directions : (P, D) float32 or None.
    """
    _refuse(folder, (stamps > _LATEST) | (stamps < -_LATEST), "a stamp beyond all clocks")
    is_pose = (np.abs(poses[:, :3]) <= _FARTHEST).all(axis=1)
    is_pose &= _is_within(_lengths(poses[:, 3:]), *_UNIT)
    _refuse(folder, ~is_pose & ~np.isnan(poses).all(axis=1), "a pose that is none")
    if directions is not None:
        is_wrong = ~_is_within(_lengths(directions), *_UNIT)
        _refuse(folder, is_wrong, "a direction that is not of length 1", "row")


def check_sessions(folder: Path, sessions: np.ndarray, count: int) -> None:
    """Raise MapError, with the place, for a session (N,) int that is none of `count` ones."""
    _refuse(folder, (sessions < 0) | (sessions >= count), f"a session that is none of {count}")


def check_descriptors(folder: Path, descriptors: Rows, is_reduced: bool) -> None:
    """Raise MapError, with the place, for a descriptor that is not finite or of an impossible length.

    Parameters
    ----------
    folder : of the map.
    descriptors : (N, P).
    is_reduced : whether they are coordinates in a subspace, of length 1 at most.
    """
    least, greatest = (0.0 if is_reduced else _UNIT[0]), _UNIT[1]
    for start in range(0, len(descriptors), _BLOCK):
        lengths = _lengths(descriptors[start : start + _BLOCK])
        text = "a descriptor that is not of length 1" + " or less" * is_reduced
        _refuse(folder, ~_is_within(lengths, least, greatest), text, first=start)


def _lengths(rows: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite is too long, too
        return np.linalg.norm(rows, axis=1)


def _is_within(values: np.ndarray, least: float, greatest: float) -> np.ndarray:
    return (values >= least) & (values <= greatest)  # false for NaN


def _refuse(folder: Path, is_wrong: np.ndarray, what: str, unit: str = "place", first: int = 0) -> None:
    if is_wrong.any():
        raise MapError(f"the map {folder} is damaged: {unit} {first + int(is_wrong.argmax())} has {what}")
