"""Verification ends when its time is used up; the answer comes, and what was left out is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from time import time_ns

import pytest

pytest.importorskip("rclpy")

from netvlad_ros.verification_budget import CUT, SKIPPED, UNREADABLE, VerificationBudget
from support.robot import raw
from support.street import street, view


class Image:
    """An image whose features and comparisons take a known time, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.budget = VerificationBudget(lambda: self.now)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        yield

    def verified(self, seconds: float, features: float, comparison: float) -> tuple[int, str]:
        """Comparisons made, of ten, and what is counted."""
        if not self.budget.begin(seconds):
            return 0, self.budget.end()
        timed = self.budget.timer(self._stage)
        for stage, cost in (("network", 5.0), ("local features", features)):
            with timed(stage):
                self.now += cost
        self.now += 7.0  # the search is no verification
        made = 0
        while made < 10 and self.budget.has_time(0.7):
            self.now += comparison
            made += 1
        if made:
            self.budget.has_time(1.0)
        return made, self.budget.end()


@pytest.mark.parametrize(
    ("features", "comparison", "made", "told"),
    [(0.02, 0.005, 10, ""), (0.02, 0.011, 5, CUT), (0.069, 1.0, 1, CUT), (0.075, 0.01, 0, SKIPPED)],
)
def test_an_image_is_cut_short_where_its_time_ends(
    features: float, comparison: float, made: int, told: str
) -> None:
    assert Image().verified(0.1, features, comparison) == (made, told)


def test_a_third_of_the_time_is_for_verification() -> None:
    image, frame = Image(), 1 / 30
    begun = 0
    for _ in range(300):  # 10 s of a fast camera; each verification takes 0.07 s
        started = image.now
        if image.budget.begin(0.1):
            begun += 1
            with image.budget.timer(image._stage)("local features"):
                image.now += 0.02
            while image.budget.has_time(1.0) and image.now < started + 0.07:
                image.now += 0.01
        image.budget.end()
        image.now = max(image.now, started + frame)
    assert begun * 0.07 == pytest.approx(image.now / 3, rel=0.15)


def test_features_that_take_all_the_time_take_a_thirtieth() -> None:
    image = Image()
    told = set()
    for _ in range(100):
        told.add(image.verified(0.1, 0.2, 0.01))
        image.now += 0.1
    assert told == {(0, SKIPPED)}
    found = image.now
    assert found - 100 * 0.1 == pytest.approx(2 * 12.2), "6 s of rest, then one image finds out"
    assert image.verified(0.0, 0.2, 0.01) == (10, ""), "no bound"


def test_without_a_bound_all_are_verified() -> None:
    image = Image()
    assert [image.verified(0.0, 60.0, 60.0) for _ in range(3)] == [(10, "")] * 3


def test_node_answers_on_and_counts_what_it_does_not_verify(start, features_map):
    robot = start(map=features_map.path, sequence_filter=False, verification_budget=0.001)
    robot.wait_until_it_answers()
    images = [view(street(seed=1, metres=80), x) for x in (10.0, 20.0, 30.0, 40.0)]
    answers = [robot.ask(raw(image, time_ns())) for image in images]
    assert all(answer.matches for answer in answers)
    assert all(match.inliers == 0 for match in answers[-1].matches)
    assert int(robot.node.statistics.values()[SKIPPED]) >= 4
    robot.set_parameter("verification_budget", 0.0)
    assert robot.ask(raw(images[1], time_ns())).matches[0].inliers > 30


@pytest.mark.parametrize("never", [False, "never"])
def test_node_verifies_in_a_map_with_features_unless_it_is_told_not_to(start, features_map, never):
    image = view(street(seed=1, metres=80), 20.0)
    robot = start(map=features_map.path, verification=never)
    robot.wait_until_it_answers()
    assert robot.ask(raw(image, time_ns())).matches[0].inliers == 0
    assert SKIPPED not in robot.node.statistics.values()
    assert robot.set_parameter("verification", "sometimes") is not None


def test_local_features_that_change_on_disk_end_verification_and_nothing_else(start, features_map, tmp_path):
    changed = tmp_path / "map"
    shutil.copytree(features_map.path, changed)
    robot = start(map=changed, sequence_filter=False, verification_budget=0.0)
    robot.wait_until_it_answers()
    (changed / "features.bin").write_bytes(b"")
    answer = robot.ask(raw(view(street(seed=1, metres=80), 60.0), time_ns()))
    assert [match.inliers for match in answer.matches] == [0] * len(answer.matches) != []
    assert int(robot.node.statistics.values()[UNREADABLE]) >= 1
