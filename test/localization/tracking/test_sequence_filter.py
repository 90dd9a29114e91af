"""The filter over a drive: similarities are drawn, the truth is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State
from netvlad_core.localization.tracking.usual_scores import UsualScores

_SECOND = 10**9
_PLACES = 200


def _ring(count: int = _PLACES, spacing: float = 2.0) -> np.ndarray:
    """Places (N, 7) around a circle, headed along it."""
    angles = 2 * np.pi * np.arange(count) / count
    radius = spacing * count / (2 * np.pi)
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 1] = radius * np.cos(angles), radius * np.sin(angles)
    yaw = angles + np.pi / 2
    poses[:, 5], poses[:, 6] = np.sin(yaw / 2), np.cos(yaw / 2)
    return poses


def _pose(row: np.ndarray) -> Pose:
    return Pose(row[:3], row[3:])


def _similarities(rng: np.random.Generator, truth: float | None, peak: float = 0.4) -> np.ndarray:
    """Noise of deviation 0.1; the true place and its neighbours are lifted by 4 deviations."""
    values = rng.normal(0.1, 0.1, _PLACES)
    if truth is not None:
        away = np.abs((np.arange(_PLACES) - truth + _PLACES / 2) % _PLACES - _PLACES / 2)
        values += peak * np.exp(-0.5 * (away / 1.5) ** 2)
    return values


def _show(
    sequence: SequenceFilter,
    values: np.ndarray,
    stamp: float,
    odometry: Pose | None = None,
    novelty: float = 1.0,
    measured: tuple[int, float] | None = None,
) -> Belief:
    typical = (float(values.mean()), float(values.std()))
    places, nanoseconds = np.arange(len(values)), int(stamp * _SECOND)
    return sequence.update(places, values, typical, nanoseconds, odometry, novelty, measured)


def _drive(
    sequence: SequenceFilter,
    truths: list[float | None],
    with_odometry: bool = True,
    seed: int = 0,
    start: float = 0,
) -> list[Belief]:
    """Show an image a second from these places; off the map the robot drives straight on elsewhere."""
    rng = np.random.default_rng(seed)
    ring = _ring()
    beliefs = []
    for second, truth in enumerate(truths):
        pose = (
            Pose.from_xyz_yaw(2.0 * second, 500.0) if truth is None else _pose(ring[round(truth) % _PLACES])
        )
        values = _similarities(rng, truth)
        beliefs.append(_show(sequence, values, start + second, pose if with_odometry else None))
    return beliefs


def _errors(beliefs: list[Belief], truths: list[float]) -> np.ndarray:
    places = np.array([belief.place for belief in beliefs])
    return np.abs((places - np.array(truths) + _PLACES / 2) % _PLACES - _PLACES / 2)


@pytest.fixture
def sequence() -> SequenceFilter:
    return SequenceFilter(_ring(), np.arange(_PLACES) * _SECOND)


@pytest.mark.parametrize("with_odometry", [True, False], ids=["odometry", "time"])
@pytest.mark.parametrize("step", [1, -1], ids=["forward", "backward"])
def test_drive_is_found_and_followed(sequence: SequenceFilter, step: int, with_odometry: bool) -> None:
    truths = [(30.0 + step * i) % _PLACES for i in range(60)]
    beliefs = _drive(sequence, truths, with_odometry)
    assert beliefs[0].state is State.LOST
    localized = [i for i, belief in enumerate(beliefs) if belief.state is State.LOCALIZED]
    assert len(localized) > 25
    assert _errors(beliefs, truths)[localized].max() <= 5
    assert all(not beliefs[i].is_reversed for i in localized[10:]) or not with_odometry


def test_probabilities_of_the_places_add_up_and_peak_at_the_one_believed_in(sequence: SequenceFilter) -> None:
    np.testing.assert_allclose(sequence.probabilities(), 1 / _PLACES)
    belief = _drive(sequence, list(np.arange(20.0, 60.0, 2.0)))[-1]
    found = sequence.probabilities()
    assert found.shape == (_PLACES,)
    assert found.sum() == pytest.approx(1.0, abs=1e-3)
    assert abs(int(np.argmax(found)) - belief.place) <= 1


def test_robot_that_faces_against_the_heading_of_the_map(sequence: SequenceFilter) -> None:
    """A camera that sees all round: the images match, and odometry says forward while places go backward."""
    rng, ring = np.random.default_rng(0), _ring()
    round_about = Pose.from_xyz_yaw(0, 0, yaw=np.pi)
    beliefs = [
        _show(sequence, _similarities(rng, 150 - i), i, _pose(ring[150 - i]) @ round_about) for i in range(60)
    ]
    assert beliefs[-1].state is State.LOCALIZED
    assert beliefs[-1].is_reversed
    assert abs(beliefs[-1].place - 91) <= 2


def test_changing_speed_needs_odometry_only(sequence: SequenceFilter) -> None:
    steps = np.random.default_rng(1).choice([0.4, 1, 3], 60)
    truths = list(np.cumsum(steps) % _PLACES)
    beliefs = _drive(sequence, truths)
    assert beliefs[-1].state is State.LOCALIZED
    assert _errors(beliefs, truths)[-20:].max() <= 3


@pytest.mark.parametrize("with_odometry", [True, False], ids=["odometry", "same image"])
def test_standing_robot_learns_nothing_new(sequence: SequenceFilter, with_odometry: bool) -> None:
    rng, pose = np.random.default_rng(0), _pose(_ring()[40])
    values = _similarities(rng, 40, peak=0.6)
    first = _show(sequence, values, 0, pose if with_odometry else None)
    for second in range(1, 500):
        values = _similarities(rng, 40, peak=0.6) if with_odometry else values
        last = _show(sequence, values, second, pose if with_odometry else None, novelty=0.02)
    assert last == first
    assert last.state is not State.LOCALIZED


@pytest.mark.parametrize("with_odometry", [True, False], ids=["odometry", "time"])
def test_unmapped_drives_give_no_pose(with_odometry: bool) -> None:
    for seed in range(5):
        sequence = SequenceFilter(_ring(), np.arange(_PLACES) * _SECOND)
        beliefs = _drive(sequence, [None] * 200, with_odometry, seed)
        assert all(belief.state is not State.LOCALIZED for belief in beliefs)


def test_leaving_the_map_ends_the_poses(sequence: SequenceFilter) -> None:
    beliefs = _drive(sequence, [*range(40), *[None] * 30])
    assert beliefs[39].state is State.LOCALIZED
    assert all(belief.state is not State.LOCALIZED for belief in beliefs[45:])
    assert beliefs[-1].on_map < 0.1


def test_carried_robot_is_found_again(sequence: SequenceFilter) -> None:
    truths = [*range(40), *range(120, 180)]
    beliefs = _drive(sequence, truths)
    errors = _errors(beliefs, truths)
    wrong = [i for i, b in enumerate(beliefs) if b.state is State.LOCALIZED and errors[i] > 5]
    assert len(wrong) <= 3
    assert beliefs[-1].state is State.LOCALIZED
    assert errors[-1] <= 2


def test_clock_that_jumps_back_starts_anew(sequence: SequenceFilter) -> None:
    beliefs = _drive(sequence, list(range(40)), start=1000)
    assert beliefs[-1].state is State.LOCALIZED
    assert _drive(sequence, [100.0], start=3)[0].state is State.LOST


def test_lost_odometry_and_its_reset_are_survived(sequence: SequenceFilter) -> None:
    rng, ring = np.random.default_rng(0), _ring()
    elsewhere = Pose.from_xyz_yaw(9000, -400, yaw=1)
    for second in range(90):
        odometry: Pose | None = _pose(ring[second])
        if 40 <= second < 50:
            odometry = None
        elif second >= 50:
            odometry = elsewhere @ _pose(ring[second])  # another origin
        belief = _show(sequence, _similarities(rng, second), second, odometry)
        if second in (39, 89):
            assert belief.state is State.LOCALIZED
            assert abs(belief.place - second) <= 3


def test_long_pause_between_images_spreads_the_belief(sequence: SequenceFilter) -> None:
    _drive(sequence, list(range(40)), with_odometry=False)
    belief = _show(sequence, _similarities(np.random.default_rng(9), 150), 4000)
    assert belief.probability < 0.5


def test_map_without_poses_is_a_line() -> None:
    sequence = SequenceFilter(np.full((_PLACES, 7), np.nan), np.arange(_PLACES) * _SECOND)
    truths = [20.0 + i for i in range(60)]
    beliefs = _drive(sequence, truths)
    assert beliefs[-1].state is State.LOCALIZED
    assert _errors(beliefs, truths)[-20:].max() <= 3


def test_few_candidates_serve_as_well_as_all_places(sequence: SequenceFilter) -> None:
    rng, ring = np.random.default_rng(0), _ring()
    for second in range(60):
        values = _similarities(rng, second)
        best = np.argsort(-values)[:40]
        typical = (float(values.mean()), float(values.std()))
        belief = sequence.update(best, values[best], typical, second * _SECOND, _pose(ring[second]))
    assert belief.state is State.LOCALIZED
    assert abs(belief.place - 59) <= 2


def test_state_is_left_later_than_entered(sequence: SequenceFilter) -> None:
    """Without odometry, so that the path of the whole drive says nothing."""
    rng = np.random.default_rng(0)
    before, below = State.LOST, []
    for second in range(190):
        values = _similarities(rng, second, peak=0.4 if second < 60 else 0.25)
        belief = _show(sequence, values, second, None)
        if belief.state is State.LOCALIZED and belief.probability < sequence.options.min_belief:
            below.append(before)
        before = belief.state
    assert below
    assert set(below) == {State.LOCALIZED}


@pytest.mark.parametrize("with_odometry", [True, False], ids=["odometry", "time"])
def test_drive_that_single_images_get_wrong_is_localized(
    sequence: SequenceFilter, with_odometry: bool
) -> None:
    """The true place is lifted so little that every fourth or fifth image prefers a wrong one."""
    rng, ring = np.random.default_rng(2), _ring()
    right, errors, leads = 0, [], []
    for second in range(120):
        values = _similarities(rng, second, peak=0.27)
        right += abs(int(values.argmax()) - second) <= 2
        belief = _show(sequence, values, second, _pose(ring[second]) if with_odometry else None)
        leads.append(belief.confidence)
        if belief.state is State.LOCALIZED:
            errors.append(abs(belief.place - second))
    assert right < 0.8 * 120
    assert len(errors) > 20
    assert max(errors) <= 5
    assert np.mean(leads[20:]) > 3


def test_place_that_resembles_every_image_does_not_hold_the_belief(sequence: SequenceFilter) -> None:
    rng, ring = np.random.default_rng(0), _ring()
    for second in range(60):
        values = _similarities(rng, second, peak=0.3)
        values[150:153] = 0.8  # seven deviations: the best match of every image
        belief = _show(sequence, values, second, _pose(ring[second]))
    assert abs(belief.place - 59) <= 2
    assert belief.confidence > 4


def test_belief_leaves_the_map_at_its_end() -> None:
    """The last place of a street resembles every image; what drives past it must not pile up there."""
    street = np.zeros((40, 7))
    street[:, 0], street[:, 6] = np.arange(40), 1.0
    sequence, rng = SequenceFilter(street), np.random.default_rng(0)
    for second in range(30):
        values = rng.normal(0.0, 1.0, 40)
        values[second] += 2.0
        values[39] += 2.5
        belief = _show(sequence, values, second, _pose(street[second]))
    assert abs(belief.place - 29) <= 1


def test_streets_that_look_alike_give_no_pose_until_the_drive_tells_them_apart(
    sequence: SequenceFilter,
) -> None:
    rng, ring, states = np.random.default_rng(0), _ring(), []
    for second in range(80):
        values = _similarities(rng, second)
        if second < 40:
            values = np.maximum(values, np.roll(values, 100))
        belief = _show(sequence, values, second, _pose(ring[second]))
        states.append(belief.state)
    assert State.LOCALIZED not in states[:40]
    assert states[-1] is State.LOCALIZED
    assert abs(belief.place - 79) <= 2


def test_confidence_ranks_where_probability_has_reached_its_ceiling(sequence: SequenceFilter) -> None:
    beliefs = _drive(sequence, list(range(60)))
    assert beliefs[-1].probability > 0.99
    assert beliefs[-1].confidence > beliefs[8].confidence + 3
    assert len({round(belief.confidence, 6) for belief in beliefs}) == 60


def test_image_that_prefers_another_place_takes_confidence_away(sequence: SequenceFilter) -> None:
    _drive(sequence, list(range(40)))
    elsewhere = copy.deepcopy(sequence)
    rng = np.random.default_rng(1)
    here, there = (
        _show(filter_, _similarities(rng, truth), 40, _pose(_ring()[40]))
        for filter_, truth in ((sequence, 40), (elsewhere, 140))
    )
    assert max(abs(here.place - 40), abs(there.place - 40)) <= 2
    assert there.probability > 0.9
    assert there.confidence < here.confidence - 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_maps(count: int) -> None:
    sequence = SequenceFilter(_ring()[:count])
    rng = np.random.default_rng(0)
    for second in range(10):
        values = rng.normal(0.1, 0.1, count)
        belief = _show(sequence, values, second, Pose.from_xyz_yaw(2.0 * second, 0))
        assert 0 <= belief.probability <= 1
        assert belief.state is not State.LOCALIZED


def _poses(beliefs: list[Belief]) -> list[int]:
    return [number for number, belief in enumerate(beliefs) if belief.state is State.LOCALIZED]


def test_a_place_that_is_expected_is_believed_sooner_the_fresher_it_is(sequence: SequenceFilter) -> None:
    truths: list[float] = list(range(60, 90))
    first = []
    for age in (2.0, 60.0, 1e4, None):
        sequence.forget()
        if age is not None:
            sequence.expect(58, False, age)
        beliefs = _drive(sequence, truths, seed=1)
        first.append(_poses(beliefs)[0])
        assert _errors(beliefs, truths)[_poses(beliefs)].max() <= 2
    assert first == sorted(first)
    assert first[0] < first[-1] == first[-2]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("place", [0, 50, 140, 199])
def test_a_wrong_expectation_gives_no_wrong_pose(sequence: SequenceFilter, place: int, reverse: bool) -> None:
    truths: list[float] = list(range(90, 120))
    sequence.expect(place, reverse, 1.0)
    beliefs = _drive(sequence, truths, seed=2)
    assert _poses(beliefs)
    assert _errors(beliefs, truths)[_poses(beliefs)].max() <= 2
    sequence.expect(place, reverse, 1.0)
    assert not _poses(_drive(sequence, 40 * [None], seed=3))


def test_an_expectation_is_a_belief_like_others(sequence: SequenceFilter) -> None:
    sequence.expect(58, False, 2.0)
    probabilities = sequence.probabilities()
    assert probabilities.sum() == pytest.approx(1.0)
    assert (probabilities > 0).all()
    assert probabilities.argmax() == 58
    sequence.forget()
    assert np.ptp(sequence.probabilities()) == 0


def test_without_odometry_no_drive_tells_what_is_usual_sooner(
    sequence: SequenceFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def habit(_: UsualScores, most: float) -> float:
        asked.append(most)
        return most

    monkeypatch.setattr(UsualScores, "habit", habit)
    _drive(sequence, list(range(5)), with_odometry=False)
    assert not asked
    sequence.forget()
    _drive(sequence, list(range(5)))
    assert asked == 4 * [sequence.options.habit]


def test_measured_poses_that_agree_give_a_pose_within_a_few_images(sequence: SequenceFilter) -> None:
    rng, ring = np.random.default_rng(0), _ring()
    plain = copy.deepcopy(sequence)
    for number in range(4):
        values, odometry = _similarities(rng, 40.0 + number), _pose(ring[40 + number])
        with_pose = _show(sequence, values, number, odometry, measured=(40 + number, 4.0))
        without = _show(plain, values, number, odometry)
    assert with_pose.state is State.LOCALIZED
    assert abs(with_pose.place - 43) <= 1
    assert with_pose.confidence > without.confidence
    assert without.state is not State.LOCALIZED


def test_a_wrong_measured_pose_gives_no_pose(sequence: SequenceFilter) -> None:
    """On the map, where the images say another place, and off it, where they say none."""
    rng, ring = np.random.default_rng(1), _ring()
    unmapped = copy.deepcopy(sequence)
    for number in range(12):
        measured = (150, 4.0) if number == 3 else None
        found = _show(
            sequence, _similarities(rng, 40.0 + number), number, _pose(ring[40 + number]), 1.0, measured
        )
        assert found.state is not State.LOCALIZED or abs(found.place - 40 - number) <= 5
        straight = Pose.from_xyz_yaw(2.0 * number, 500.0)
        off = _show(unmapped, _similarities(rng, None), number, straight, 1.0, measured)
        assert off.state is not State.LOCALIZED


def test_place_moves_on_between_images_that_are_news() -> None:
    """Places 20 m apart, an image each 4 m: each third one is news, the place is the nearest in all."""
    ring = _ring(60, spacing=20.0)
    sequence = SequenceFilter(ring, np.arange(60) * _SECOND)
    rng, places = np.random.default_rng(0), []
    for image in range(100):
        angle = 2 * np.pi * (10 + image / 5) / 60
        at = np.linalg.norm(ring[0, :2]) * np.array([np.cos(angle), np.sin(angle)])
        values = rng.normal(0.1, 0.1, 60) + 0.4 * np.exp(-0.5 * (np.arange(60) - 10 - image / 5) ** 2)
        places.append(_show(sequence, values, image, Pose.from_xyz_yaw(*at, yaw=angle + np.pi / 2)).place)
    away = np.abs(np.array(places) - 10 - np.arange(100) / 5)[50:]
    assert away.max() <= 0.7
    assert away.mean() < 0.3


def test_place_stays_where_it_is_when_odometry_is_reset_under_a_standing_robot() -> None:
    ring = _ring(60, spacing=20.0)
    sequence, rng = SequenceFilter(ring, np.arange(60) * _SECOND), np.random.default_rng(0)
    for image in range(30):
        values = rng.normal(0.1, 0.1, 60) + 0.4 * np.exp(-0.5 * (np.arange(60) - 10 - image) ** 2)
        belief = _show(sequence, values, image, _pose(ring[10 + image]))
    moved = _pose(ring[43])
    for stamp in (30, 31):
        assert _show(sequence, values, stamp, moved, novelty=0.0).place == belief.place == 39
