"""Verification takes its time per image on average; images without it are answered all the same."""

from __future__ import annotations

from contextlib import nullcontext
from time import sleep, time_ns

import pytest

pytest.importorskip("rclpy")

from netvlad_ros.verification_budget import SKIPPED, VerificationBudget
from support.robot import raw
from support.street import street, view


@pytest.mark.parametrize(("cost", "verified"), [(0.05, 12), (0.1, 12), (0.15, 6), (0.3, 4), (1.2, 1)])
def test_images_are_verified_as_often_as_their_time_allows(cost: float, verified: int) -> None:
    budget, count = VerificationBudget(), 0
    for _ in range(12):
        if budget.allows(0.1):
            budget.take(cost)
            count += 1
    assert count == verified


def test_without_a_bound_all_are_verified_and_nothing_is_owed_later() -> None:
    budget = VerificationBudget()
    for _ in range(3):
        assert budget.allows(0.0)
        budget.take(60.0)
    assert budget.allows(0.0)
    assert budget.allows(0.1)


def test_only_local_features_count_among_the_stages() -> None:
    budget = VerificationBudget()
    timed = budget.timer(lambda stage: nullcontext())
    with timed("network"):
        pass
    assert budget.allows(1e-12)
    with timed("local features"):
        sleep(0.01)
    assert not budget.allows(1e-9)


def test_node_answers_on_and_counts_what_it_does_not_verify(start, features_map):
    robot = start(map=features_map.path, sequence_filter=False, verification=True, verification_budget=0.001)
    robot.wait_until_it_answers()
    images = [view(street(seed=1, metres=80), x) for x in (10.0, 20.0, 30.0, 40.0)]
    answers = [robot.ask(raw(image, time_ns())) for image in images]
    assert all(answer.matches for answer in answers)
    assert all(match.inliers == 0 for match in answers[-1].matches)
    assert int(robot.node.statistics.values()[SKIPPED]) >= 3
    robot.set_parameter("verification_budget", 0.0)
    assert robot.ask(raw(images[1], time_ns())).matches[0].inliers > 30
