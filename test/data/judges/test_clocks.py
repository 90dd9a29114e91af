"""Stamps are judged by each other: no single one ends or starts anything."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.judges.clocks import (
    NEVER_SET,
    OTHER_CLOCK,
    OUT_OF_ORDER,
    REPEATED,
    SET_BACK,
    ClockJudge,
    clock_difference,
    judge_recording,
    span,
)

SECOND = 10**9
DAY = 1_700_000_000 * SECOND
TEN = np.arange(10) * SECOND


def live(stamps, received, **options):
    judge = ClockJudge(**options)
    return [judge.judge(int(stamp), int(time)) for stamp, time in zip(stamps, received, strict=True)]


def test_sound_stamps_are_kept():
    clock = judge_recording(DAY + TEN, DAY + TEN)
    assert clock.is_kept.all()
    assert not clock.left_out
    assert not clock.remark
    assert [judged.stamp for judged in live(DAY + TEN, DAY + TEN)] == (DAY + TEN).tolist()


def test_no_message_is_no_clock():
    assert len(judge_recording([], []).stamps) == 0


@pytest.mark.parametrize("row", [0, 4, 9])
@pytest.mark.parametrize("wrong", [1, 3600 * SECOND, 2 * DAY, -5 * SECOND, DAY + 3600 * SECOND])
def test_one_wrong_stamp_costs_one_message(row, wrong):
    stamps = DAY + TEN
    stamps[row] = wrong if wrong >= DAY or wrong == 1 else stamps[row] + wrong
    clock = judge_recording(stamps, DAY + TEN)
    # A first stamp that lies before all others, or a last one after them, contradicts none.
    harmless = (np.diff(stamps) > 0).all()
    assert clock.is_kept.sum() == (10 if harmless else 9)
    assert clock.left_out == ({} if harmless else {OTHER_CLOCK: 1})
    if row == 4:
        assert [judged.reason for judged in live(stamps, DAY + TEN)] == [""] * 4 + [OTHER_CLOCK] + [""] * 5


def test_single_zero_is_never_set_and_only_zeros_are_no_stamps():
    stamps = DAY + TEN
    stamps[[0, 5]] = 0
    assert judge_recording(stamps, DAY + TEN).left_out == {NEVER_SET: 2}
    clock = judge_recording(np.zeros(10), DAY + TEN)
    np.testing.assert_array_equal(clock.stamps, DAY + TEN)
    assert "time of recording stands for them" in clock.remark
    assert [judged.stamp for judged in live(np.zeros(10), DAY + TEN)] == (DAY + TEN).tolist()
    assert [judged.reason for judged in live(stamps, DAY + TEN)][5] == NEVER_SET


def test_zero_of_a_simulation_is_a_stamp():
    """The clock of a simulation starts at 0, while the recorder's is that of day."""
    assert judge_recording(TEN, DAY + TEN).is_kept.all()
    late_start = np.concatenate([[0], TEN + 30 * SECOND])
    assert judge_recording(late_start, DAY + late_start).is_kept.all()
    assert judge_recording(late_start, DAY + np.arange(11)).left_out == {NEVER_SET: 1}


def test_late_and_repeated_messages():
    stamps = [0, 20, 10, 30, 30, 40]
    judged = live([DAY + s * 10**7 for s in stamps], [DAY + i * 10**8 for i in range(6)])
    assert [j.reason for j in judged] == ["", "", OUT_OF_ORDER, "", REPEATED, ""]
    assert not any(j.starts_anew for j in judged)


def test_clock_set_back_for_good_starts_a_stretch_and_the_longest_is_kept():
    received = DAY + np.arange(30) * SECOND
    stamps = received.copy()
    stamps[10:] -= 60 * SECOND  # a time server steps in
    clock = judge_recording(stamps, received)
    np.testing.assert_array_equal(np.flatnonzero(clock.is_kept), np.arange(10, 30))
    assert clock.left_out == {SET_BACK: 10}
    assert "its clock was set in mid-recording; kept 2023-11-14" in clock.remark
    judged = live(stamps, received)
    assert [i for i, j in enumerate(judged) if j.starts_anew] == [12]
    assert [j.stamp for j in judged[12:]] == stamps[12:].tolist()


def test_clock_that_is_ahead_for_a_while_costs_that_while_only():
    received = DAY + np.arange(30) * SECOND
    stamps = received.copy()
    stamps[10:15] += 7200 * SECOND
    clock = judge_recording(stamps, received)
    np.testing.assert_array_equal(np.flatnonzero(~clock.is_kept), np.arange(10, 15))


def test_first_frames_far_ahead_before_a_camera_is_synchronised():
    received = DAY + np.arange(30) * SECOND
    for count in (1, 2, 3, 8):
        stamps = received.copy()
        stamps[:count] += 10**6 * SECOND
        np.testing.assert_array_equal(
            np.flatnonzero(judge_recording(stamps, received).is_kept), np.arange(count, 30)
        )
        stamped = [j.stamp for j in live(stamps, received)]
        assert stamped[count + 2 :] == stamps[count + 2 :].tolist()


def test_drive_that_was_played_in_a_loop_while_it_was_recorded():
    received = DAY + np.arange(50) * SECOND // 5
    stamps = 1000 * SECOND + np.tile(np.arange(20), 3)[:50] * SECOND // 5
    clock = judge_recording(stamps, received)
    np.testing.assert_array_equal(np.flatnonzero(clock.is_kept), np.arange(20))
    assert clock.left_out == {SET_BACK: 30}


@pytest.mark.parametrize("rate", [0.2, 1, 10])
def test_simulation_at_another_speed(rate):
    stamps = np.arange(1, 400) * SECOND // 20
    received = DAY + (stamps / rate).astype(np.int64)
    stamps[[50, 200]] += [10**12, -(10**9) * 5]
    clock = judge_recording(stamps, received)
    assert clock.left_out == {OTHER_CLOCK: 2}
    judged = live(stamps, received)
    assert sum(j.stamp is None for j in judged) == 2


def test_times_of_recording_that_say_nothing():
    """A converter has written all messages within a millisecond."""
    stamps = DAY + np.arange(20) * 5 * SECOND
    stamps[7] = 3 * DAY
    assert judge_recording(stamps, DAY + np.arange(20)).left_out == {OTHER_CLOCK: 1}


def test_two_clocks_are_told_apart_and_named():
    judges = [ClockJudge() for _ in range(2)]
    for time in range(30):
        judges[0].judge(DAY + time * SECOND, DAY + time * SECOND)
        judges[1].judge((4321 + time) * SECOND, DAY + time * SECOND)
    assert clock_difference(judges[1].lag, judges[0].lag) == pytest.approx(1_700_000_000 - 4321)
    assert judges[0].lag is not None
    assert clock_difference(judges[0].lag, judges[0].lag + 0.3) == 0
    assert clock_difference(None, 1.0) == 0
    assert span([4321 * SECOND, 4340 * SECOND]) == "1970-01-01 01:12:01 to 1970-01-01 01:12:20"


def test_slow_topic_that_starts_anew_and_soon_catches_up() -> None:
    """Four messages at one a second, then the same stamps again: the second run is another one."""
    stamps = np.array([1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]) * SECOND
    received = DAY + np.arange(12) * SECOND
    clock = judge_recording(stamps, received)
    np.testing.assert_array_equal(np.flatnonzero(clock.is_kept), np.arange(4, 12))
    assert [
        i for i, judged in enumerate(live(stamps, DAY + np.arange(12) * SECOND)) if judged.starts_anew
    ] == [6]


def test_sound_stamps_among_as_many_random_ones() -> None:
    random = np.random.default_rng(0)
    received = DAY + np.arange(2000) * SECOND // 20
    is_wrong = random.random(2000) < 0.5
    stamps = np.where(is_wrong, random.integers(1, 2**62, 2000), received)
    clock = judge_recording(stamps, received)
    assert clock.is_kept[~is_wrong].mean() > 0.99
    assert not clock.is_kept[is_wrong].any()
    kept = [judged.stamp for judged in live(stamps, received)]
    assert np.mean([k == s for k, s in zip(kept, received) if k is not None]) > 0.99


def test_what_comes_before_a_simulated_clock_has_begun_tells_no_lag():
    judge = ClockJudge()
    assert judge.judge(DAY, 0).stamp == DAY
    assert judge.lag is None
    judge.judge(DAY + SECOND, DAY + SECOND + 10**7)
    assert judge.lag == 0.01
