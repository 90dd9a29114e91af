"""A measured pose goes on with odometry, for as long as that is worth more than the matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.carried_pose import CarriedPose
from netvlad_core.localization.geometry.verification_options import VerificationOptions, unbounded
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.pose_prior import PoseEstimate, PosePrior
from netvlad_core.localization.tracking.sequence_options import SequenceOptions
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match

_SECOND = 10**9
_MEASURED = PoseEstimate(Pose.from_xyz_yaw(100.0, 50.0, yaw=np.pi / 2), 1e-4 * np.eye(6))


def _carried(way: list[Pose], seconds: float = 1.0) -> PoseEstimate | None:
    """What is left of a pose measured at the first of these poses of odometry, an image each `seconds`."""
    carried = CarriedPose()
    carried.next(_MEASURED, way[0], 0, sigma=0.1)
    found = None
    for number, odometry in enumerate(way[1:], start=1):
        found = carried.next(None, odometry, int(number * seconds * _SECOND), sigma=0.1)
    return found


def test_the_pose_moves_as_odometry_does() -> None:
    way = [Pose.from_xyz_yaw(x, 7.0, yaw=0.1 * x) for x in (3.0, 4.0, 5.0)]
    found = _carried(way)
    assert found is not None
    expected = _MEASURED.pose @ (way[0].inverse() @ way[2])
    assert np.allclose(found.pose.position, expected.position)
    assert found.pose.yaw == pytest.approx(np.pi / 2 + 0.2)
    assert found.pose.position[1] > 51.9  # two metres ahead, which is along y


def test_it_grows_uncertain_with_the_way_driven_and_not_with_the_distance() -> None:
    there = [Pose.from_xyz_yaw(x, 0.0) for x in (0.0, 2.0, 4.0)]
    ahead, back = _carried(there), _carried([*there, there[1], there[0]])
    assert ahead is not None
    assert back is not None
    assert ahead.covariance[1, 1] == pytest.approx(1e-4 + 0.4**2)
    assert ahead.covariance[0, 0] == pytest.approx(1e-4 + 0.4**2 + 1e-4 * 4**2)  # its heading counts across
    assert back.covariance[0, 0] == pytest.approx(1e-4 + 0.8**2)


@pytest.mark.parametrize("seconds", [0.1, -1.0], ids=["odometry was reset", "time was"])
def test_nothing_is_carried_over_a_reset(seconds: float) -> None:
    way = [Pose.from_xyz_yaw(x, 0.0) for x in (0.0, 20.0, 20.1)]
    assert _carried(way, seconds) is None
    assert _carried(way, seconds=1.0) is not None


def test_nothing_is_carried_without_odometry() -> None:
    carried = CarriedPose()
    here = Pose.identity()
    assert carried.next(_MEASURED, None, 0, 0.1) is _MEASURED
    assert carried.next(None, here, _SECOND, 0.1) is None
    carried.next(_MEASURED, here, 2 * _SECOND, 0.1)
    carried.next(None, None, 3 * _SECOND, 0.1)
    assert carried.next(None, here, 4 * _SECOND, 0.1) is None


def _errors(place_map: PlaceMap, frames: list[Frame], has_odometry: bool) -> list[float]:
    """Of the images of a short drive that are not verified, two of three."""
    sequence = SequenceOptions(min_belief=0.05)  # the drive is short
    options = LocalizerOptions(sequence=sequence, verification=VerificationOptions())
    localizer = Localizer.open(place_map.path, options=options)
    errors = []
    for number, frame in enumerate(frames[3:9]):
        observation = localizer.observe(frame.decode(), frame.stamp, frame.pose if has_odometry else None)
        is_verified = number % 3 == 0
        answer = localizer.track(observation, unbounded if is_verified else lambda share: False)
        if answer.prior is not None and frame.pose is not None and not is_verified:
            errors.append(float(np.linalg.norm(answer.prior.pose.position - frame.pose.position)))
    return errors


def test_images_that_are_not_verified_have_the_pose_of_the_one_that_was(
    evening_street: tuple[PlaceMap, list[Frame]],
) -> None:
    carried, matched = (_errors(*evening_street, has_odometry) for has_odometry in (True, False))
    assert len(carried) == len(matched) == 4
    assert np.median(carried) < 0.2 < 1.0 < np.median(matched)


def test_the_place_believed_in_decides_if_matches_contradict_the_carried_pose(
    evening_street: tuple[PlaceMap, list[Frame]], monkeypatch: pytest.MonkeyPatch
) -> None:
    estimated = Localizer._estimate

    def off(localizer: Localizer, matches: Sequence[Match]) -> PosePrior | None:
        prior = estimated(localizer, matches)
        if prior is None:
            return None
        beside = Pose(prior.pose.position + np.array([0.0, 15.0, 0.0]), prior.pose.quaternion)
        return replace(prior, pose=beside)

    monkeypatch.setattr(Localizer, "_estimate", off)
    assert np.median(_errors(*evening_street, has_odometry=True)) < 0.2
    assert np.median(_errors(*evening_street, has_odometry=False)) > 10.0
