"""Local features are found again where the image has moved."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from netvlad_core.geometry import local_features
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import find_features, match_features
from support.street import street, view


def test_features_move_with_the_image() -> None:
    fronts = street(seed=5, metres=20)
    a, b = find_features(view(fronts, 4.0)), find_features(view(fronts, 6.0, gain=0.7))
    matches = match_features(a, b)
    shift = a.points[matches[:, 0]] - b.points[matches[:, 1]]
    assert len(matches) > 30
    assert np.median(np.linalg.norm(shift - [16, 0], axis=1)) < 0.5  # 2 m at 8 pixels a metre
    assert (np.linalg.norm(shift - [16, 0], axis=1) < 2).mean() > 0.8


def test_points_are_in_pixels_of_the_image_as_it_came() -> None:
    features = find_features(view(street(seed=5, metres=20), 4.0))
    assert features.size == (160, 120)
    assert features.points.min() > -1
    assert (features.points.max(axis=0) < [161, 121]).all()
    assert features.points.max() > 120
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)


def test_blank_image_has_none_and_matches_nothing() -> None:
    blank = find_features(np.full((240, 320, 3), 90, np.uint8))
    other = find_features(view(street(seed=5, metres=20), 4.0))
    assert len(blank) == 0
    assert match_features(blank, other).shape == match_features(other, blank).shape == (0, 2)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_large_image_is_made_smaller_and_its_points_are_not(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def find(grey: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        seen.append(grey.shape)
        return KINDS[kind].find(grey, most)

    small = view(street(seed=5, metres=20), 4.0)
    large = cv2.resize(small, (2400, 1800), interpolation=cv2.INTER_CUBIC)
    monkeypatch.setattr(local_features, "KINDS", {kind: replace(KINDS[kind], find=find)})
    features = find_features(large, kind=kind)
    assert np.prod(seen[0]) <= 1_610_000, "RootSIFT takes 250 bytes a pixel"
    assert features.size == (2400, 1800)
    assert (features.points.max(axis=0) > [1800, 1200]).all()
    assert (features.points.max(axis=0) < [2401, 1801]).all()
