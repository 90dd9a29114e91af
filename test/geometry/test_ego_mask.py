"""What an image shows of the robot itself confirms no place."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.geometry.ego_mask import find_ego_mask, without
from netvlad_core.geometry.local_features import LocalFeatures, find_features
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from support.street import HEIGHT, WIDTH, street, view, write_catalogue

_HOOD = HEIGHT // 3  # rows at the bottom of the image
_METRES = 240


def _hood(width: int = WIDTH) -> np.ndarray:
    """Rows of an image, full of things that can be found again."""
    return view(street(seed=50, metres=20), 0.0)[-_HOOD:, :width]


def _with_hood(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[-_HOOD:] = _hood()
    return image


@pytest.fixture(scope="module")
def features() -> list[LocalFeatures]:
    fronts = street(seed=1, metres=_METRES)
    return [find_features(_with_hood(view(fronts, x))) for x in range(0, _METRES, 20)]


@pytest.fixture(scope="module")
def hood_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    folder = tmp_path_factory.mktemp("hood")
    fronts = street(seed=1, metres=_METRES)
    fronts[-_HOOD:] = np.tile(_hood(), (1, fronts.shape[1] // WIDTH + 1, 1))[:, : fronts.shape[1]]
    # A view each image width: the hood stands where it stands.
    places = np.arange(0, _METRES, WIDTH // 8)
    catalogue = write_catalogue(folder / "drive", fronts, places)
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="none")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def _pairs(features: list[LocalFeatures]) -> list[tuple[LocalFeatures, LocalFeatures]]:
    return list(itertools.pairwise(features))


def test_hood_is_found_and_left_out(features: list[LocalFeatures]) -> None:
    ego_mask = find_ego_mask(_pairs(features))
    top = len(ego_mask) * (HEIGHT - _HOOD) // HEIGHT
    assert ego_mask[top:].mean() > 0.5
    assert not ego_mask[: top - 2].any()
    left = without(features[0], ego_mask)
    on_hood = features[0].points[:, 1] >= HEIGHT - _HOOD
    assert len(left) >= 0.9 * (~on_hood).sum()
    assert (left.points[:, 1] >= HEIGHT - _HOOD).sum() < 0.2 * on_hood.sum()


def test_moving_world_has_no_ego_mask() -> None:
    fronts = street(seed=1, metres=_METRES)
    features = [find_features(view(fronts, x)) for x in range(0, _METRES, 20)]
    ego_mask = find_ego_mask(_pairs(features))
    assert not ego_mask.any()
    assert without(features[0], ego_mask) is features[0]


def test_one_scene_in_all_images_is_not_the_robot() -> None:
    features = [find_features(view(street(seed=1, metres=20), 5.0, gain)) for gain in (0.7, 0.8, 0.9, 1.0)]
    assert not find_ego_mask(_pairs(features)).any()


def test_blank_images_and_no_pairs() -> None:
    blank = find_features(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert not find_ego_mask([]).any()
    assert not find_ego_mask([(blank, blank)]).any()
    assert len(without(blank, np.ones((24, 32), bool))) == 0


def test_hood_does_not_confirm_another_place(hood_map: PlaceMap) -> None:
    elsewhere = find_features(_with_hood(view(street(seed=7, metres=40), 10.0)))
    known = find_features(_with_hood(view(street(seed=1, metres=_METRES), 62.0)))
    knowing = Verifier.of_map(hood_map, VerificationOptions())
    unaware = Verifier(hood_map)
    unaware._geometry._looked_among = len(hood_map)  # it takes the map for looked at
    matches = hood_map.matches(np.array([3]), np.array([0.5]))

    def is_confirmed(verifier: Verifier, features: LocalFeatures) -> bool:
        observation = Observation(0, np.zeros(1, np.float32), features=features)
        seen = verifier.see(observation, matches, 10.0)
        return seen is not None and bool(seen.confirmed)

    assert is_confirmed(unaware, elsewhere)
    assert not is_confirmed(knowing, elsewhere)
    assert is_confirmed(knowing, known)
