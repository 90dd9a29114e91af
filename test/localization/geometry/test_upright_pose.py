"""Pose of one image among points of the map, most of whose features are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.localization.geometry.surroundings import Surroundings
from netvlad_core.localization.geometry.upright_pose import Fix, locate, margin
from support.scene import CAMERA, look, scattered

# A map far from its origin.
_FAR = np.array([500_000.0, 5_000_000.0, 300.0])
_POINTS = scattered(300)
_TRUE, _BESIDE = (Pose.from_xyz_yaw(0.7, y, yaw=0.15) for y in (1.5, 2.3))


def _scene(points: np.ndarray = _POINTS, up: tuple[float, float, float] = (0, 0, 1)) -> Surroundings:
    """The points as one place at the origin of the scene knows them."""
    random = np.random.default_rng(99).normal(size=(len(_POINTS), 128))
    descriptors = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    times = len(points) // len(_POINTS)
    return Surroundings(
        _FAR, points, np.tile(descriptors, (times, 1)), np.arange(1, times + 1) * len(_POINTS),
        np.zeros((1, 3)), np.asarray(up, np.float64), 0.0, 0.0,
    )  # fmt: skip


def _locate(query: LocalFeatures, scene: Surroundings | None = None) -> tuple[Fix, float]:
    fix = locate(query, CAMERA, scene or _scene())
    assert fix is not None
    return fix, margin(fix.cells, fix.most_beyond(3.0, fix.camera))


@pytest.mark.parametrize("wrong", [0.0, 0.8])
def test_pose_is_found_among_four_wrong_features_of_five(wrong: float) -> None:
    fix, surplus = _locate(look(_POINTS, _TRUE, 0.5, wrong))
    assert np.linalg.norm(fix.pose.position - _FAR - _TRUE.position) < 0.25
    assert (fix.pose.rotation.inv() * _TRUE.rotation).magnitude() < np.radians(1.0)
    assert surplus > 1.5
    assert 0.7 * (1 - wrong) < fix.share <= 1 - wrong
    assert fix.support > 3.5


@pytest.mark.parametrize("seed", [1, 5, 6])
def test_features_that_agree_sharply_beat_more_that_do_not(seed: int) -> None:
    """Three of five features are seen as from 0.8 m beside, as like windows of a facade are, but blurred."""
    sharp = look(_POINTS, _TRUE, 0.5, seed=seed)
    blurred = look(_POINTS, _BESIDE, 2.0, seed=seed)
    names = sharp.descriptors[:, 0]
    moved = np.random.default_rng(seed).choice(names, 3 * len(names) // 5, replace=False)
    parts = [
        sharp.take(~np.isin(names, moved)),
        blurred.take(np.isin(blurred.descriptors[:, 0], moved)),
    ]
    points, descriptors = (np.vstack([getattr(p, name) for p in parts]) for name in ("points", "descriptors"))
    fix, _ = _locate(LocalFeatures(points, descriptors, sharp.size))
    assert np.linalg.norm(fix.pose.position - _FAR - _TRUE.position) < 0.25


def test_errors_through_a_wide_lens_are_judged_by_their_angle() -> None:
    seen = look(_POINTS, _TRUE, 1.0)
    smaller = LocalFeatures(seen.points / 2, seen.descriptors, seen.size)
    wide = replace(CAMERA, matrix=np.diag([0.5, 0.5, 1]) @ CAMERA.matrix)
    one, other = locate(seen, CAMERA, _scene()), locate(smaller, wide, _scene())
    assert one is not None
    assert other is not None
    assert other.share == pytest.approx(one.share, abs=0.12)


def test_wrong_features_alone_agree_no_better_than_by_chance() -> None:
    for seed in range(3):
        fix = locate(look(_POINTS, _TRUE, 0.5, wrong=1.0, seed=seed), CAMERA, _scene())
        assert fix is None or margin(fix.cells, fix.most_beyond(3.0, fix.camera)) < 1.5
        assert fix is None or fix.support < 3.5


def test_scene_that_stands_twice_has_a_rival() -> None:
    twice = np.vstack([_POINTS, _POINTS + np.array([6.0, 0.0, 0.0])])
    _, surplus = _locate(look(_POINTS, _TRUE, 0.5), _scene(twice))
    assert surplus < 1.5


def test_errors_stay_inside_what_the_covariance_says() -> None:
    inside = []
    for seed in range(12):
        fix, _ = _locate(look(_POINTS, _TRUE, 0.7, 0.5, seed=100 + seed))
        turn = (fix.pose.rotation * _TRUE.rotation.inv()).as_rotvec()
        error = np.concatenate([fix.pose.position - _FAR - _TRUE.position, turn])
        inside.append(error @ np.linalg.solve(fix.covariance, error) <= chi2.ppf(0.95, 6))
        np.testing.assert_array_equal(fix.covariance, fix.covariance.T)
    assert np.mean(inside) >= 0.9


def test_pose_that_few_features_support_is_less_certain_than_they_say() -> None:
    sure, unsure = (_locate(look(_POINTS, _TRUE, 0.5, wrong))[0] for wrong in (0.0, 0.85))
    assert unsure.support < 10 < sure.support
    sigmas = [np.sqrt(np.diag(fix.covariance)[:2].mean() - 0.1**2) for fix in (sure, unsure)]
    fewer = np.sqrt(0.15)
    assert sigmas[1] > 1.3 * sigmas[0] / fewer


def test_camera_that_leans_as_the_map_does_is_found() -> None:
    """On a slope of ten degrees the map's z axis is not that of the robot."""
    slope = Pose.from_values([0, 0, 0], [0, np.sin(0.0875), 0, np.cos(0.0875)])
    points = slope.rotation.apply(_POINTS)
    up = slope.rotation.inv().apply([0.0, 0.0, 1.0])
    at = Pose.from_xyz_yaw(0.7, 1.5)
    fix, _ = _locate(look(_POINTS, at, 0.5, 0.5), _scene(points, tuple(up)))
    assert np.linalg.norm(fix.pose.position - _FAR - slope.rotation.apply(at.position)) < 0.4


def test_camera_in_the_air_is_not_upright() -> None:
    fix = locate(look(_POINTS, Pose.from_xyz_yaw(0.7, 1.5, 4.0), 0.5), CAMERA, _scene())
    assert fix is None or margin(fix.cells, fix.most_beyond(3.0, fix.camera)) < 1.5 or fix.cells < 20


@pytest.mark.parametrize("count", [0, 6])
def test_few_features_give_no_pose(count: int) -> None:
    assert locate(look(_POINTS, _TRUE).take(np.arange(count)), CAMERA, _scene()) is None
