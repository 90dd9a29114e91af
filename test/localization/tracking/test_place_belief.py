"""The belief over places: it stays a probability, moves with the robot, and forgets nothing but traces."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.localization.tracking.place_belief import AGAINST, ALONG, PlaceBelief
from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion

_PLACES = 50
_EVERY = np.arange(_PLACES)


@pytest.fixture
def belief() -> PlaceBelief:
    """Along a street with a place each metre."""
    poses = np.tile([0.0, 0, 0, 0, 0, 0, 1], (_PLACES, 1))
    poses[:, 0] = _EVERY
    return PlaceBelief(PlaceMotion(poses), 0.1)


def _ahead(metres: float, is_guess: bool = False) -> Motion:
    return Motion(np.array([metres, 0.0, 0.0]), 0.0, 0.1, 0.1, is_guess)


def _seen_at(belief: PlaceBelief, place: int, times: int = 4) -> None:
    for _ in range(times):
        belief.weigh(_EVERY, np.where(abs(_EVERY - place) < 2, 20.0, 1.0))


def test_at_first_the_robot_may_be_anywhere(belief: PlaceBelief) -> None:
    assert belief.probabilities() == pytest.approx(np.full(_PLACES, 1 / _PLACES))
    assert belief.best == (ALONG, 0)
    assert belief.lead(0, 3.0) == 0


def test_what_is_seen_leads(belief: PlaceBelief) -> None:
    _seen_at(belief, 20)
    assert belief.best[0] == ALONG  # likelier than against the heading
    assert belief.best[1] in (19, 20, 21)
    assert belief.probabilities()[19:22].sum() > 0.99
    assert belief.lead(20, 3.0) > 5
    assert belief.lead(40, 3.0) < -5


@pytest.mark.parametrize(("heading", "end"), [(ALONG, 26), (AGAINST, 14)])
def test_belief_moves_with_the_robot(belief: PlaceBelief, heading: int, end: int) -> None:
    belief.weigh(np.array([20]), 1e6, slice(heading, heading + 1))
    assert belief.best == (heading, 20)
    assert belief.move(_ahead(6.0), leak=0.01) == 1.0
    found, place = belief.best
    assert found == heading
    assert abs(place - end) <= 1


def test_belief_that_moves_off_the_map_may_be_anywhere(belief: PlaceBelief) -> None:
    _seen_at(belief, 46)
    assert belief.move(_ahead(12.0), leak=0.0) < 0.2
    assert belief.probabilities().max() < 0.2


def test_a_guessed_speed_spreads_belief_in_both_directions(belief: PlaceBelief) -> None:
    belief.weigh(np.array([25]), 1e6, slice(ALONG, ALONG + 1))
    for _ in range(4):
        belief.move(_ahead(2.0, is_guess=True), leak=0.0)
    probabilities = belief.probabilities()
    assert probabilities[29:42].sum() > 0.5  # half to twice the usual speed
    assert belief.best[0] == ALONG


def test_an_expected_place_is_one_among_others(belief: PlaceBelief) -> None:
    belief.prefer(np.where(abs(_EVERY - 30) < 3, 50.0, 0.0), AGAINST)
    assert belief.best[0] == AGAINST
    assert belief.probabilities()[28:33].sum() > 0.5
    _seen_at(belief, 10)
    assert belief.best[1] in (9, 10, 11)


def test_probabilities_sum_to_one_whatever_happens(belief: PlaceBelief) -> None:
    random = np.random.default_rng(0)
    for step in range(200):
        belief.move(_ahead(random.uniform(-3, 5), is_guess=step % 7 == 0), leak=0.003)
        some = random.choice(_PLACES, 8, replace=False)
        belief.weigh(some, np.exp(abs(random.normal(0, 2, 8))))
        probabilities = belief.probabilities()
        assert probabilities.sum() == pytest.approx(1.0, abs=0.05)  # traces are dropped
        assert (probabilities > 0).all()
    belief.spread_out(0.1)
    assert np.ptp(belief.probabilities()) == 0


def test_a_copy_goes_its_own_way(belief: PlaceBelief) -> None:
    _seen_at(belief, 20)
    before, copied = belief.probabilities(), belief.copy()
    _seen_at(copied, 40)
    copied.move(_ahead(3.0), leak=0.1)
    assert np.array_equal(belief.probabilities(), before)
