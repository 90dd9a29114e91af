"""The pose out of several matches, and what it says about itself."""

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.pose_prior import PoseEstimate, estimate_pose
from netvlad_core.mapping.places import Match


def _match(x: float, yaw: float, similarity: float, place: int = 0) -> Match:
    return Match(place, 0, similarity, Pose.from_xyz_yaw(x, 0.0, yaw=yaw))


def test_mean_of_agreeing_matches_leaves_the_far_one_out() -> None:
    matches = [_match(0, 0, 0.5), _match(2, 0, 0.5), _match(300, 0, 0.4), _match(301, 0, 0.1)]
    prior = estimate_pose(matches, spacing=1.0)
    assert prior is not None
    np.testing.assert_allclose(prior.pose.position, [1, 0, 0])
    assert prior.agreement == pytest.approx(0.8 / 1.1)


def test_headings_meet_across_the_seam() -> None:
    prior = estimate_pose([_match(0, np.pi - 0.1, 0.5), _match(0, -np.pi + 0.1, 0.5)], spacing=1.0)
    assert prior is not None
    assert abs(prior.pose.yaw) == pytest.approx(np.pi)


def test_opposite_headings_are_not_averaged() -> None:
    prior = estimate_pose([_match(0, 0, 0.5), _match(4, np.pi, 0.49), _match(90, 0, 0.1)], spacing=1.0)
    assert prior is not None
    np.testing.assert_allclose(prior.pose.position, [0, 0, 0])
    assert prior.agreement < 0.6


def test_first_match_stands_for_itself_where_better_ones_face_elsewhere() -> None:
    """A drive may end at a place that a turn leaves: its neighbours look more alike, and face another way."""
    prior = estimate_pose([_match(0, 0, 0.4), _match(2, np.pi, 0.5), _match(4, np.pi, 0.45)], spacing=1.0)
    assert prior is not None
    np.testing.assert_allclose(prior.pose.position, [0, 0, 0])
    assert prior.agreement == pytest.approx(1 / 3)


def test_covariance_is_positive_and_grows_with_the_spread() -> None:
    near = estimate_pose([_match(0, 0, 0.5), _match(1, 0, 0.5)], spacing=1.0)
    far = estimate_pose([_match(0, 0, 0.5), _match(9, 0, 0.5)], spacing=1.0)
    assert near is not None
    assert far is not None
    for prior in (near, far):
        np.testing.assert_allclose(prior.covariance, prior.covariance.T)
        assert (np.linalg.eigvalsh(prior.covariance) > 0).all()
    assert far.covariance[0, 0] - near.covariance[0, 0] == pytest.approx(0.75 * (4.5**2 - 0.5**2))


@pytest.mark.parametrize("direction", [0.0, 0.7, np.pi / 2])
def test_offset_beside_the_path_is_unknown_whatever_the_headings_say(direction: float) -> None:
    """Maps without headings have the same yaw everywhere; the path is where the matches lie."""
    along = np.array([np.cos(direction), np.sin(direction), 0])
    matches = [
        Match(i, 0, 0.5, Pose.from_xyz_yaw(*(along * metres))) for i, metres in enumerate((0.0, 1.0, 2.0))
    ]
    prior = estimate_pose(matches, spacing=1.0)
    assert prior is not None
    across = np.array([-along[1], along[0], 0])
    beside = prior.covariance[:3, :3]
    assert along @ beside @ along == pytest.approx(0.5**2 + 1 / 12 + 0.75 * 2 / 3)
    assert across @ beside @ across == pytest.approx(2.0**2)
    lane = 2.0 * across  # a drive in the other half of the lane stays inside
    assert lane @ np.linalg.solve(beside, lane) < 2


def test_single_match_tells_no_direction_of_the_path() -> None:
    prior = estimate_pose([_match(0, 0, 0.5)], spacing=1.0)
    assert prior is not None
    np.testing.assert_allclose(np.diag(prior.covariance)[:3], 4.0)


def test_places_far_apart_leave_the_query_anywhere_between_them() -> None:
    prior = estimate_pose([_match(0, 0, 0.5), _match(12, 0, 0.5)], spacing=12.0, radius=20.0)
    assert prior is not None
    assert np.sqrt(prior.covariance[0, 0]) > 12 / np.sqrt(12)
    assert (np.diag(prior.covariance)[:3] >= 12.0).all()


def test_best_match_without_a_pose_gives_none() -> None:
    assert estimate_pose([Match(0, 0, 0.9, None), _match(0, 0, 0.5)], spacing=1.0) is None


def test_ellipse_holds_its_share_of_the_positions() -> None:
    root = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.3, 0.1]])
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = root @ root.T
    estimate = PoseEstimate(Pose.from_xyz_yaw(5.0, -3.0, 1.0), covariance)
    drawn = np.random.default_rng(0).normal(size=(2000, 3)) @ root.T + estimate.pose.position
    assert np.mean([estimate.holds(position[:2]) for position in drawn]) == pytest.approx(0.95, abs=0.015)
    assert np.mean([estimate.holds(position, 0.5) for position in drawn]) == pytest.approx(0.5, abs=0.04)
    beside = Pose.from_xyz_yaw(14.0, -3.0, 1.0).position
    assert estimate.holds(beside, covariance=100.0 * np.eye(3))
    assert not estimate.holds(beside)
