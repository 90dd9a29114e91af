"""What inliers and a measured pose are worth: weights, scores, and evidence on a drive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.elsewhere import Elsewhere
from netvlad_core.localization.geometry.seen import Seen, VerifiedMatch
from netvlad_core.localization.geometry.verification_options import unbounded
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match
from netvlad_core.model.extractor import Extractor
from support.street import street, view

_HERE = Pose.identity()


def _seen(
    matches: list[Match],
    verified: VerifiedMatch | None = None,
    is_calibrated: bool = True,
    lacks_pose: bool = False,
) -> Seen:
    return Seen(matches, [], verified, is_calibrated, lacks_pose, 30, Elsewhere())


def _match(place: int, pose: Pose, log_ratio: float) -> Match:
    return Match(place, 0, 0.2, pose, inliers=10, log_ratio=log_ratio)


def test_without_a_likelihood_inliers_weigh_only_beyond_what_other_places_reach_by_accident() -> None:
    matches = [Match(place, 0, 0.5, _HERE, count) for place, count in enumerate((0, 15, 30, 60, 240))]
    seen = _seen(matches, is_calibrated=False)
    assert [seen.weights[place] for place in range(5)] == pytest.approx(np.log([1, 1, 2, 4, 16]))
    match = matches[0]
    # A match with four times the inliers is twice as good.
    assert replace(match, inliers=40).score == pytest.approx(2 * replace(match, inliers=10).score)


def test_inliers_that_agree_on_no_pose_weigh_half() -> None:
    matches = [_match(place, _HERE, nats) for place, nats in enumerate((0.0, np.e - 1))]
    assert _seen(matches).weights == pytest.approx({0: 0.0, 1: 1.0})
    assert _seen(matches, lacks_pose=True).weights == pytest.approx({0: 0.0, 1: 0.5})


def test_evidence_for_a_measured_pose_raises_the_confidence() -> None:
    match = _match(1, _HERE, 0.0)
    measured = VerifiedMatch(_HERE, np.eye(6), 1, 0.2, 10, 1, True, True, evidence=1.5)
    seen = [_seen([match], each) for each in (None, measured)]
    assert [each.confidence for each in seen] == pytest.approx([0.2, 1.5 * 0.2])


def test_inliers_speak_for_a_place_as_far_as_they_do_not_for_one_elsewhere() -> None:
    street_along = [Pose.from_xyz_yaw(metres, 0.0) for metres in (0.0, 4.0, 60.0)]
    seen = _seen([_match(*each) for each in zip(range(3), street_along, (1.0, 3.0, 2.0))])
    assert seen.nats_for(street_along[0]) == pytest.approx(1.0)  # the match 4 m away is of the same place
    assert seen.nats_for(street_along[2]) == pytest.approx(-1.0)
    assert seen.nats_for(Pose.from_xyz_yaw(200.0, 0.0)) == pytest.approx(-3.0)
    assert seen.nats_for(None) == 0.0
    assert replace(seen, is_calibrated=False).nats_for(street_along[0]) == 0.0


def test_on_a_drive_inliers_at_the_believed_place_raise_the_confidence(
    features_map: PlaceMap, extractor: Extractor
) -> None:
    localizer, street_seen = Localizer(features_map, extractor), street(seed=1, metres=80)
    for metres, number in ((20.0, 0), (21.6, 1), (23.2, 2)):
        observation = localizer.observe(view(street_seen, metres), number * 10**9)
        answer = localizer.track(observation)
    assert answer.belief is not None
    assert answer.confidence > answer.belief.confidence + 2
    seen = localizer._see(observation, answer.matches, unbounded)
    assert seen is not None
    by_inliers = seen.nats_for(features_map.pose(answer.place))
    assert answer.confidence == pytest.approx(answer.belief.confidence + by_inliers)


@pytest.mark.parametrize(("support", "nats"), [(0.0, 0.0), (1.4, 0.0), (2.0, 2.0), (9.0, 4.0)])
def test_a_measured_pose_is_evidence_as_far_as_it_is_supported(support: float, nats: float) -> None:
    pose = Pose.identity()
    measured = VerifiedMatch(pose, np.eye(6), 3, 0.5, 30, 3, True, True, support)
    assert measured.nats == pytest.approx(nats)
    assert replace(measured, is_near=False).nats == 0
