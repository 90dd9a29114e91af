"""Arrays of a map hold what descriptors, poses and stamps can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping.contents import check_descriptors, check_places, check_sessions

_FOLDER = Path("maps/campus")


@pytest.fixture
def descriptors() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((5000, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture
def poses() -> np.ndarray:
    poses = np.zeros((6, 7))
    poses[:, 0], poses[:, 6] = np.arange(6), 1.0
    poses[2] = np.nan  # a place without a pose
    return poses


@pytest.mark.parametrize("value", [np.nan, np.inf, 100.0, 1e38])
@pytest.mark.parametrize("is_reduced", [False, True])
def test_descriptor_that_is_none_is_named(value: float, is_reduced: bool, descriptors: np.ndarray) -> None:
    check_descriptors(_FOLDER, descriptors, is_reduced)
    descriptors[4999, 3] = value
    with pytest.raises(MapError, match="place 4999 has a descriptor that is not of length 1"):
        check_descriptors(_FOLDER, descriptors, is_reduced)


def test_only_a_reduced_descriptor_may_be_short(descriptors: np.ndarray) -> None:
    descriptors[7] *= 0.4
    check_descriptors(_FOLDER, descriptors, is_reduced=True)
    with pytest.raises(MapError, match="place 7 has"):
        check_descriptors(_FOLDER, descriptors, is_reduced=False)


@pytest.mark.parametrize(
    ("column", "value"), [(0, np.nan), (1, np.inf), (2, 1e300), (6, 0.0), (6, 1e200), (5, np.nan)]
)
def test_pose_that_is_none_is_named(column: int, value: float, poses: np.ndarray) -> None:
    check_places(_FOLDER, np.arange(6), poses, None)
    poses[3, column] = value
    with pytest.raises(MapError, match="place 3 has a pose that is none"):
        check_places(_FOLDER, np.arange(6), poses, None)


def test_stamp_and_direction_that_are_none_are_named(poses: np.ndarray) -> None:
    stamps = np.arange(6)
    stamps[1] = -(1 << 63)
    with pytest.raises(MapError, match="place 1 has a stamp"):
        check_places(_FOLDER, stamps, poses, None)
    directions = np.eye(3, 5, dtype=np.float32)
    check_places(_FOLDER, np.arange(6), poses, directions)
    directions[2] = 0
    with pytest.raises(MapError, match="row 2 has a direction"):
        check_places(_FOLDER, np.arange(6), poses, directions)


def test_session_that_is_none_is_refused(tmp_path: Path) -> None:
    check_sessions(tmp_path, np.array([0, 1, 1], np.int32), 2)
    for odd in (-1, 2):
        with pytest.raises(MapError, match="place 1 has a session that is none of 2"):
            check_sessions(tmp_path, np.array([0, odd, 1], np.int32), 2)
