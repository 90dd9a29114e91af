"""Verification on images: the order of matches, a metric pose in a rendered street, and what it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from netvlad_core.data.camera import Camera
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.local_features import LocalFeatures, find_features, no_features
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.localization.geometry.seen import Seen, VerifiedMatch
from netvlad_core.localization.geometry.verification import Verifier, _most_similar_first
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match, Places
from netvlad_core.model.extractor import Extractor
from support.scene import CAMERA, look, scattered
from support.street import street, view, write_catalogue


@pytest.fixture(scope="module")
def fronts_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    folder = tmp_path_factory.mktemp("fronts")
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="none")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def _see(verifier: Verifier, image: np.ndarray, matches: list[Match]) -> Seen:
    observation = Observation(0, np.zeros(1, np.float32), features=find_features(image))
    seen = verifier.see(observation, matches, 10.0)
    assert seen is not None
    return seen


def test_true_place_comes_first_and_others_are_not_confirmed(fronts_map: PlaceMap) -> None:
    image = view(street(seed=1, metres=80), 41.0, gain=0.8)
    places = np.array([3, 18, 10, 1])  # the true one is 10, at 40 m
    seen = _see(Verifier(fronts_map), image, fronts_map.matches(places, np.full(4, 0.5)))
    assert seen.matches[0].place == 10
    assert [match.place for match in seen.confirmed] == [10]
    assert max(seen.weights[3], seen.weights[18], seen.weights[1]) < np.log(2) < seen.weights[10]


def test_common_points_are_the_inliers_of_a_match(fronts_map: PlaceMap) -> None:
    image = view(street(seed=1, metres=80), 41.0, gain=0.8)
    verifier = Verifier(fronts_map)
    match = _see(verifier, image, fronts_map.matches(np.array([10]), np.array([0.5]))).matches[0]
    points = verifier.common_points(find_features(image), 10)
    assert points.shape == (match.inliers, 4)
    assert ((points >= 0) & (points <= 1)).all()
    moved = np.median(points[:, 2:] - points[:, :2], axis=0)
    np.testing.assert_allclose(moved, (8 / 160, 0), atol=0.01)  # the camera is a metre further on


def test_matches_that_nobody_looks_at_stay_behind(fronts_map: PlaceMap) -> None:
    image = view(street(seed=1, metres=80), 40.0)
    matches = fronts_map.matches(np.array([3, 18, 10]), np.array([0.5, 0.4, 0.3]))
    seen = _see(Verifier(fronts_map, VerificationOptions(most_places=2)), image, matches)
    assert [match.place for match in seen.matches][2] == 10
    assert seen.matches[2].inliers == 0


def test_other_thresholds_keep_what_is_known_of_the_places(fronts_map: PlaceMap) -> None:
    image = view(street(seed=1, metres=80), 41.0, gain=0.8)
    matches = fronts_map.matches(np.array([3, 18, 10, 1]), np.full(4, 0.5))
    verifier = Verifier.of_map(fronts_map, VerificationOptions())
    known = _see(verifier, image, matches).matches
    stricter = verifier.with_options(VerificationOptions(min_inliers=10_000))
    with pytest.MonkeyPatch.context() as patch:  # no image is decoded a second time
        patch.setattr(type(fronts_map), "image", lambda self, place: pytest.fail("an image was read"))
        seen = _see(stricter, image, matches)
    assert seen.matches == known
    assert not seen.confirmed
    assert _see(verifier, image, matches).confirmed
    fewer = verifier.with_options(VerificationOptions(features=60))
    assert _see(fewer, image, matches).matches[0].inliers < known[0].inliers


def test_single_image_is_localized_only_where_geometry_agrees(
    fronts_map: PlaceMap, extractor: Extractor
) -> None:
    options = LocalizerOptions(min_similarity=-1.0, verification=VerificationOptions())
    localizer = Localizer(fronts_map, extractor, options)
    known = localizer(view(street(seed=1, metres=80), 21.0, gain=0.8))
    assert known.state is State.LOCALIZED
    assert known.prior is not None
    assert abs(known.prior.pose.position[0] - 21) < 3
    unknown = [localizer(view(street(seed=77, metres=40), x)) for x in (5.0, 15.0, 25.0)]
    assert all(answer.state is State.AMBIGUOUS and answer.prior is None for answer in unknown)
    assert known.confidence > 2 * max(answer.confidence for answer in unknown)


def test_map_without_images_is_refused_with_a_sentence(
    checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    catalogue = write_catalogue(tmp_path / "drive", street(seed=1, metres=20), range(0, 20, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="none", store_features="none")
    place_map = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "map", options, progress=False)
    with pytest.raises(MapError, match="--store-images full"):
        Localizer(place_map, extractor, LocalizerOptions(verification=VerificationOptions()))


def test_pose_is_metric_where_the_camera_is_calibrated(evening_street: tuple[PlaceMap, list[Frame]]) -> None:
    place_map, frames = evening_street
    assert place_map.camera is not None
    localizer = Localizer.open(place_map.path)
    errors: dict[bool, list[float]] = {False: [], True: []}
    for verifies in (False, True):
        verification = VerificationOptions() if verifies else None
        options = LocalizerOptions(min_similarity=-1.0, min_agreement=0.0, verification=verification)
        localizer = localizer.with_options(options)
        for frame in frames:
            answer = localizer(frame.decode(), frame.stamp)
            if answer.prior is not None:
                errors[verifies].append(np.linalg.norm(answer.prior.pose.position - frame.pose.position))
    assert len(errors[True]) >= len(frames) // 2
    assert np.median(errors[True]) < 0.5 < np.median(errors[False])


def test_without_a_calibration_there_is_no_metric_pose(fronts_map: PlaceMap) -> None:
    matches = fronts_map.matches(np.array([10]), np.array([0.5]))
    verified = _see(Verifier(fronts_map), view(street(seed=1, metres=80), 40.0), matches).verified
    assert verified is not None
    assert not verified.is_metric


_RADIUS = 10.0
_POINTS = scattered(300)


class Street(Places):
    """Places whose features are known; the images themselves are not needed."""

    def __init__(self, at: list[Pose], camera: Camera | None = CAMERA) -> None:
        poses = np.array([[*pose.position, *pose.quaternion] for pose in at])
        super().__init__(np.zeros((len(at), 1), np.float32), np.arange(len(at)), poses, camera)


def _verify(street: Street, features: list[LocalFeatures], query: LocalFeatures) -> VerifiedMatch | None:
    verifier = Verifier(street, VerificationOptions(min_inliers=40))
    verifier._geometry._features.update(enumerate(features))
    matches = street.matches(np.arange(len(street)), np.full(len(street), 0.5))
    observation = Observation(0, np.zeros(1, np.float32), features=query)
    return verifier.see(observation, matches, _RADIUS).verified


def _seen(at: list[Pose], noise: float = 0.3) -> list[LocalFeatures]:
    return [look(_POINTS, pose, noise, seed=seed) for seed, pose in enumerate(at, start=1)]


_ALONG = [Pose.from_xyz_yaw(x, 0.0) for x in (-2.0, 0.0, 2.0)]


def test_pose_is_metric_between_places() -> None:
    true = Pose.from_xyz_yaw(0.7, 1.2, yaw=0.1)
    found = _verify(Street(_ALONG), _seen(_ALONG), look(_POINTS, true, 0.3))
    assert found is not None
    assert found.is_metric
    assert found.is_near
    assert found.inliers >= 40
    error = found.pose.position - true.position
    assert np.linalg.norm(error) < 0.4
    assert error @ np.linalg.solve(found.covariance[:3, :3], error) < chi2.ppf(0.99, 3)


def test_scene_without_the_points_that_the_place_is_known_by_is_none() -> None:
    """Equal houses of another street match the image of a place, but are not where its points are."""
    before, place, behind = _seen(_ALONG)
    known = 60  # points that the neighbours show, too, and the query does not
    before, behind = (look(_POINTS[:known], pose, 0.3) for pose in (_ALONG[0], _ALONG[2]))
    at = Pose.from_xyz_yaw(0.0, 3.0, yaw=0.15)
    query = look(_POINTS, at, 0.3)
    elsewhere = query.take(np.arange(len(look(_POINTS[:known], at, 0.3)), len(query)))
    assert _verify(Street(_ALONG), [before, place, behind], query) is not None
    assert _verify(Street(_ALONG), [before, place, behind], elsewhere) is None
    assert _verify(Street(_ALONG, camera=None), [before, place, behind], elsewhere) is not None


def test_place_without_neighbours_to_measure_from_is_confirmed_without_metres() -> None:
    query = look(_POINTS, Pose.from_xyz_yaw(0.0, 3.0, yaw=0.15), 0.3)
    found = _verify(Street(_ALONG[1:2]), _seen(_ALONG[1:2]), query)
    assert found is not None
    assert not found.is_metric


def test_without_calibration_the_place_is_all_that_is_known() -> None:
    true = Pose.from_xyz_yaw(0.5, 0.0)
    found = _verify(Street(_ALONG, camera=None), _seen(_ALONG), look(_POINTS, true, 0.3))
    assert found is not None
    assert not found.is_metric
    assert found.pose.position.tolist() == found.pose.position.round().tolist()  # that of a place
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(5.0)


def test_place_seen_from_afar_is_not_near() -> None:
    at = [Pose.from_xyz_yaw(0.0, 0.0)]
    found = _verify(Street(at, camera=None), _seen(at), look(_POINTS, Pose.from_xyz_yaw(-15.0, 0.0), 0.3))
    assert found is not None
    assert not found.is_near


def test_scene_that_stands_in_two_parts_of_the_map_is_none() -> None:
    at = [*_ALONG, Pose.from_xyz_yaw(300.0, 0.0)]
    features = [*_seen(_ALONG), look(_POINTS, _ALONG[1], 0.3, seed=9)]
    assert _verify(Street(at), features, look(_POINTS, Pose.from_xyz_yaw(0.7, 0.0), 0.3)) is None


def test_other_scene_and_missing_image_confirm_nothing() -> None:
    query = look(_POINTS, _ALONG[1], 0.3)
    assert _verify(Street(_ALONG), [no_features()] * 3, query) is None
    other = [look(scattered(300, seed=5), pose, 0.3, wrong=1.0) for pose in _ALONG]
    assert _verify(Street(_ALONG), other, query) is None


def _with_stored_points(at: list[Pose]) -> Street:
    """Places with local features and points in metres, as a map keeps them."""
    random = np.random.default_rng(99).normal(size=(len(_POINTS), 128))
    every = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    rows = []
    for pose in at:
        found = look(_POINTS, Pose.from_xyz_yaw(pose.position[0] % 100, pose.position[1]), 0.3)
        points = _POINTS[[int(np.argmax(every @ each)) for each in found.descriptors]]
        rows.append(PackedFeatures(found, points - (pose.position[0] % 100, pose.position[1], 0)).pack())
    street = Street(at)
    street.features = StoredFeatures("rootsift", rows, Likelihood(10.0, 3.0, 0.4, 0.5))
    return street


@pytest.mark.parametrize("seen", [60, 150])
def test_pose_is_measured_from_stored_points_of_several_places(seen: int) -> None:
    street, true = _with_stored_points([Pose.from_xyz_yaw(x, 0.0) for x in (4.0, 6.0, 8.0)]), (5.3, 0.8)
    query = look(_POINTS, Pose.from_xyz_yaw(*true, yaw=0.1), 0.3).take(np.arange(seen))
    observation = Observation(0, np.zeros(1, np.float32), features=query)
    matches = street.matches(np.arange(3), np.full(3, 0.5))
    verified = Verifier(street).see(observation, matches, _RADIUS).verified
    assert verified is not None
    assert verified.is_metric
    assert np.linalg.norm(verified.pose.position[:2] - true) < 0.3
    few = replace(observation, features=query.take(np.arange(9)))
    assert Verifier(street).see(few, matches, _RADIUS).verified is None


def test_pose_that_two_distant_places_give_is_none() -> None:
    street = _with_stored_points([Pose.from_xyz_yaw(x, 0.0) for x in (4.0, 6.0, 304.0)])
    query = look(_POINTS, Pose.from_xyz_yaw(5.0, 0.5), 0.3)
    observation = Observation(0, np.zeros(1, np.float32), features=query)
    one, both = (street.matches(np.arange(count), np.full(count, 0.5)) for count in (2, 3))
    assert Verifier(street).see(observation, one, _RADIUS).verified is not None
    assert Verifier(street).see(observation, both, _RADIUS).verified is None


def test_images_are_verified_by_default_in_maps_that_have_learned(
    features_map: PlaceMap, street_map: PlaceMap, extractor: Extractor
) -> None:
    image = view(street(seed=1, metres=80), 20.0)
    usual, never = LocalizerOptions(), LocalizerOptions(verification=None)
    verified, untold = Localizer(features_map, extractor, usual), Localizer(street_map, extractor, usual)
    assert verified(image).matches[0].inliers > 30
    assert untold.verification is None
    assert untold(image).matches[0].inliers == 0
    assert verified.with_options(never)(image).matches[0].inliers == 0
    unlearned = PlaceMap.open(features_map.path)
    assert unlearned.features is not None
    unlearned.features = replace(unlearned.features, likelihood=None)
    assert Localizer(unlearned, extractor, usual).verification is None


@pytest.mark.parametrize("stage", ["match features", "compare"])
@pytest.mark.parametrize("compared", [0, 1, 3])
def test_what_there_is_no_time_for_stays_as_it_is(
    compared: int, stage: str, features_map: PlaceMap, extractor: Extractor
) -> None:
    localizer = Localizer(features_map, extractor)
    observation = localizer.observe(view(street(seed=1, metres=80), 20.0, 0.6))
    asked: list[float] = []

    def has_time(share: float) -> bool:
        asked.append(share)
        is_last = len(set(asked)) == (1 if stage == "match features" else 2)
        return share < 1 and (not is_last or asked.count(share) <= compared)

    plain = localizer.with_options(LocalizerOptions(verification=None)).locate(observation)
    answer = localizer.locate(observation, has_time)
    inliers = {match.place: match.inliers for match in answer.matches}
    assert [inliers[match.place] > 0 for match in plain.matches] == [True] * compared + [False] * (
        10 - compared
    )
    if compared == 0:
        assert (answer.state, answer.confidence) == (plain.state, plain.confidence)
    assert (1.0 in asked) == (compared > 0)
    assert localizer.track(observation, lambda share: False).belief is not None


@pytest.mark.parametrize(
    ("metres", "inliers", "first"),
    [(50.0, 15, 0), (50.0, 16, 0), (50.0, 18, 1), (50.0, 200, 1), (5.0, 16, 1)],
)
def test_a_place_elsewhere_than_the_most_similar_one_comes_first_only_if_it_is_clearly_better(
    metres: float, inliers: int, first: int
) -> None:
    likelihood = Likelihood(10.0, 3.0, 0.5, threshold=0.4)
    at = [Pose.from_xyz_yaw(x, 0.0) for x in (0.0, metres, 200.0)]
    matches = [
        Match(place, 0, similarity, at[place], n, likelihood.log_ratio(n), likelihood.support(n))
        for place, similarity, n in ((0, 0.30, 14), (1, 0.29, inliers), (2, 0.1, 20))
    ]
    ranked = _most_similar_first(sorted(matches, key=lambda match: -match.score), _RADIUS)
    assert [match.place for match in ranked] == [first, 1 - first, 2]
