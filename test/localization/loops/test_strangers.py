"""A drive learns what inliers are worth from places that cannot be the one it is at."""

from __future__ import annotations

import numpy as np

from netvlad_core.localization.loops.strangers import Strangers
from netvlad_core.mapping.places import Match


def _compared(strangers: Strangers, inliers: list[int], away: list[float], way: list[float]) -> None:
    matches = [Match(row, row, 0.3, None, count) for row, count in enumerate(inliers)]
    strangers.add(matches, np.array(away), np.array(way))


def test_places_elsewhere_teach_what_their_inliers_are_worth() -> None:
    few, many = Strangers(), Strangers()
    for step in range(20):
        _compared(few, [8 + step % 5, 9, 150], [60.0, 90.0, 2.0], [70.0, 100.0, 400.0])
        _compared(many, [60 + step, 90, 150], [60.0, 90.0, 2.0], [70.0, 100.0, 400.0])
    taught, other = few.likelihood(), many.likelihood()
    assert taught is not None
    assert other is not None
    assert taught.log_ratio(60) > 5.0 > 1.0 > other.log_ratio(60)


def test_places_that_odometry_may_have_left_behind_by_drift_teach_nothing() -> None:
    strangers = Strangers()
    assert strangers.likelihood() is None
    for _ in range(40):
        _compared(strangers, [150, 150], [80.0, 20.0], [400.0, 30.0])
    assert strangers.likelihood() is None


def test_only_the_last_images_count() -> None:
    strangers = Strangers()
    for inliers in (10, 80):
        for step in range(60):
            _compared(strangers, [inliers + step % 5], [60.0], [60.0])
    taught = strangers.likelihood()
    assert taught is not None
    assert np.exp(taught.usual) > 80
