"""Positions that cannot be: jumps, fixes without a fix, other units."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.judges.positions import JumpJudge, doubts_about_units, has_fix, reachable

SECOND = 10**9
STAMPS = np.arange(20) * SECOND // 10
ROAD = np.column_stack([np.arange(20.0), np.zeros(20), np.zeros(20)])


@pytest.mark.parametrize("row", [0, 7, 19])
def test_single_jumps_are_left_out(row):
    positions = ROAD.copy()
    positions[row] += 5000
    assert np.flatnonzero(~reachable(STAMPS, positions)).tolist() == [row]


def test_jump_that_lasts_is_a_new_origin():
    positions = ROAD.copy()
    positions[10:] += 300
    assert reachable(STAMPS, positions).all()
    judge = JumpJudge()
    assert [judge.judge(s, p) for s, p in zip(STAMPS.tolist(), positions)][9:14] == [0, None, None, 2, 0]


def test_two_publishers_of_the_same_frames():
    positions = ROAD.copy()
    positions[1::2, 1] += 40
    np.testing.assert_array_equal(reachable(STAMPS, positions), np.arange(20) % 2 == 0)


def test_fast_train_and_corrected_odometry_are_no_jumps():
    assert reachable(STAMPS, ROAD * 9).all()
    assert reachable(np.arange(20) * SECOND // 100, ROAD * 1.9).all()


def test_fixes_without_a_fix():
    latitudes = np.array([48.0, 0.0, 48.0, np.nan, 95.0, 48.0, 48.0, 0.0])
    longitudes = np.array([11.0, 0.0, 11.0, 11.0, 11.0, 200.0, np.inf, 11.0])
    statuses = np.array([0, 0, -1, 0, 0, 0, 0, 2])
    expected = [True, False, False, False, False, False, False, True]
    for kind in (0, 2):
        assert has_fix(latitudes, longitudes, statuses, np.full(8, kind)).tolist() == expected


def test_unknown_covariance_is_no_fix_where_the_receiver_usually_knows_it():
    where, fine = np.full(5, 48.0), np.zeros(5)
    assert has_fix(where, where, fine, np.array([0, 0, 2, 2, 2])).tolist() == [False] * 2 + [True] * 3
    assert has_fix(where, where, fine, np.array([0, 0, 0, 2, 2])).all()


@pytest.mark.parametrize(
    ("scale", "doubt"),
    [
        (1.0, ""),
        (1 / 74300, "degrees"),
        (0.01, "without a scale"),
        (1000.0, "millimetres"),
    ],
)
def test_units(scale, doubt):
    positions = np.array([11.5, 48.1, 0]) + scale * ROAD
    sentence = doubts_about_units(positions)
    assert doubt in sentence
    assert bool(sentence) == bool(doubt)
    assert doubts_about_units(positions[:9]) == ""
    assert doubts_about_units(np.full((20, 3), np.nan)) == ""
