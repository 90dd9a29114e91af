"""Similarities in standard deviations of what is usual in each drive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.standard_scores import StandardScores
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.statistics import UsualSimilarity
from support.street import street, view, write_catalogue


def _drives(count: int, length: int) -> tuple[Places, np.ndarray]:
    """Drives in lights of their own, and an image."""
    rng = np.random.default_rng(0)
    lights = rng.normal(0, 1, (count, 1, 64))
    rows = lights + rng.uniform(0.2, 1.0, (count, 1, 1)) * rng.normal(0, 1, (count, length, 64))
    descriptors = rows.reshape(-1, 64).astype(np.float32)
    sessions = np.repeat(np.arange(count, dtype=np.int32), length)
    places = Places(descriptors, np.arange(len(sessions)), np.zeros((len(sessions), 7)), sessions=sessions)
    return places, rng.normal(0, 1, 64).astype(np.float32)


def _scores(places: Places, query: np.ndarray) -> np.ndarray:
    scores = StandardScores(places, UsualSimilarity.of(places.descriptors))
    return scores.of(query, places.descriptors @ query, np.arange(len(places)))


@pytest.mark.parametrize("count", [1, 3, 20])
def test_scores_are_those_among_the_places_of_the_drive(count: int) -> None:
    places, query = _drives(count, 100)
    of_drives = _scores(places, query).reshape(count, 100)
    np.testing.assert_allclose(of_drives.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(of_drives.std(axis=1), 1, rtol=1e-6)


def test_a_short_drive_is_judged_by_the_whole_map() -> None:
    places, query = _drives(2, 200)
    places.sessions[:] = np.arange(400) >= 390
    similarities = places.descriptors @ query
    whole = (similarities - similarities.mean()) / similarities.std()
    np.testing.assert_allclose(_scores(places, query)[390:], whole[390:], rtol=1e-5)


def test_an_image_is_compared_with_no_more_places_the_more_drives_there_are() -> None:
    """A comparison of 500 places for each drive took longer than the search in all of them."""
    places, query = _drives(300, 40)
    scores = StandardScores(places, UsualSimilarity.of(places.descriptors))
    assert len(scores._samples) <= 2000
    assert abs(_scores(places, query)).mean() == pytest.approx(0.8, abs=0.1)


def test_drives_are_judged_by_what_is_usual_in_each(
    checkpoint: Path, street_map: PlaceMap, tmp_path: Path
) -> None:
    """Among places of two looks all those of one are alike, and little would stand out."""
    negative = 255 - street(seed=1, metres=80) // 8
    catalogue = write_catalogue(tmp_path / "drive", negative, range(0, 80, 2))
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    other = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "other", options, progress=False)
    both = merge([street_map, other], [Pose.identity()], tmp_path / "both", 0)
    image = view(street(seed=1, metres=80), 21.0)
    spreads = []
    for path in (street_map.path, both.path):
        localizer = Localizer.open(path, device="cpu")
        query = localizer.observe(image).descriptor
        similarities, places = localizer._search(query[None], 1000)
        scores = StandardScores(localizer.place_map, localizer._usual).of(query, similarities, places)
        spreads.append(np.std(scores[places < 40]))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.05)


def test_means_are_those_of_each_drive() -> None:
    places, query = _drives(3, 100)
    scores = StandardScores(places, UsualSimilarity.of(places.descriptors))
    expected = (places.descriptors[:] @ query).reshape(3, 100).mean(axis=1)
    np.testing.assert_allclose(scores.means(query), expected, rtol=1e-5)
