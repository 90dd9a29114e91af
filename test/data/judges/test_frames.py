"""Two publishers on one topic: the first is kept, both are named."""

from __future__ import annotations

from collections import Counter

from netvlad_core.data.judges.frames import FrameJudge, describe, main_frames

SECOND = 10**9
BASE, WHEELS = ("odom", "base_link"), ("odom", "wheels")


def test_alternating_frames_keep_the_first_pair():
    judge = FrameJudge()
    used = [judge.judge((BASE, WHEELS)[i % 2], i * SECOND // 10) for i in range(20)]
    assert used == [(True, False), (False, False)] * 10
    assert judge.others == {WHEELS: 10}
    assert "odom <- base_link are used, 10 of odom <- wheels left out" in judge.remark


def test_much_faster_second_publisher_does_not_take_over():
    judge = FrameJudge()
    for i in range(200):
        judge.judge(BASE if i % 50 == 0 else WHEELS, i * SECOND // 50)
    assert judge.kept == BASE


def test_frames_that_follow_a_silence_start_anew():
    judge = FrameJudge()
    judge.judge(("", ""), 0)
    assert [judge.judge(BASE, i * SECOND) for i in (1, 3, 4)] == [(False, False), (True, True), (True, False)]
    assert judge.kept == BASE


def test_one_message_of_odd_frames_does_not_decide_over_a_recording():
    assert main_frames(Counter({("", ""): 1, BASE: 50})) == BASE
    assert main_frames(Counter({WHEELS: 50, BASE: 51})) == WHEELS


def test_names_in_the_sentence():
    assert describe(BASE, Counter()) == ""
    assert "Poses of map are used, 3 of (no name) left out" in describe(("map", ""), Counter({("", ""): 3}))
