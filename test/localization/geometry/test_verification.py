"""Verification on images: the order of matches, a metric pose in a rendered street, and what it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame
from netvlad_core.errors import MapError
from netvlad_core.localization.geometry.local_features import find_features
from netvlad_core.localization.geometry.verification import Seen, VerificationOptions, Verifier
from netvlad_core.localization.localizer import Localizer, LocalizerOptions, State
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match
from netvlad_core.model.extractor import Extractor
from support.street import street, view, write_catalogue


@pytest.fixture(scope="module")
def fronts_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    folder = tmp_path_factory.mktemp("fronts")
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def _see(verifier: Verifier, image: np.ndarray, matches: list[Match]) -> Seen:
    return verifier.see(Observation(0, np.zeros(1, np.float32), features=find_features(image)), matches, 10.0)


def test_true_place_comes_first_and_others_are_not_confirmed(fronts_map: PlaceMap) -> None:
    image = view(street(seed=1, metres=80), 41.0, gain=0.8)
    places = np.array([3, 18, 10, 1])  # the true one is 10, at 40 m
    seen = _see(Verifier(fronts_map), image, fronts_map.matches(places, np.full(4, 0.5)))
    assert seen.matches[0].place == 10
    assert [match.place for match in seen.confirmed] == [10]
    assert max(seen.weights[3], seen.weights[18], seen.weights[1]) < np.log(2) < seen.weights[10]


def test_inliers_weigh_only_beyond_what_other_places_reach_by_accident(fronts_map: PlaceMap) -> None:
    verifier = Verifier(fronts_map)
    (match,) = fronts_map.matches(np.array([3]), np.array([0.5]))
    weights = [verifier.weight(replace(match, inliers=count)) for count in (0, 15, 30, 60, 240)]
    assert weights == pytest.approx(np.log([1, 1, 2, 4, 16]))
    # A match with four times the inliers is twice as good.
    assert replace(match, inliers=40).score == pytest.approx(2 * replace(match, inliers=10).score)


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
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="none")
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
