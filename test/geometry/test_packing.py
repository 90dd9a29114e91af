"""Local features in few bytes: what is lost, and what a damaged row says."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures, find_features, match_features, no_features
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures, unpack
from support.street import street, view


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_loses_next_to_nothing(kind: str) -> None:
    fronts = street(seed=5, metres=20)
    found, other = (find_features(view(fronts, x), 300, kind) for x in (4.0, 5.0))
    back = unpack(PackedFeatures(found).pack(), kind)
    assert back.points is None
    assert (back.features.size, back.features.kind) == (found.size, kind)
    np.testing.assert_allclose(back.features.points, found.points, atol=0.01)
    assert (back.features.descriptors * found.descriptors).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(back.features.descriptors, axis=1), 1, atol=1e-5)
    pairs, again = (set(map(tuple, match_features(each, other))) for each in (found, back.features))
    assert len(pairs & again) > 0.97 * len(pairs)


def test_points_in_metres_come_back_and_unknown_ones_stay_unknown() -> None:
    found = find_features(view(street(seed=5, metres=20), 4.0), 50)
    points = np.random.default_rng(0).uniform(-40, 40, (len(found), 3)).astype(np.float32)
    points[::3] = np.nan
    points[1] = 1e6  # beyond float16
    back = unpack(PackedFeatures(found, points).pack(), "rootsift").points
    assert back is not None
    np.testing.assert_allclose(back[2::3], points[2::3], atol=0.02)
    assert np.isnan(back[::3]).all()
    assert np.isnan(back[1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_takes_at_most_64_kilobytes(kind: str) -> None:
    count, width = KINDS[kind].stored, KINDS[kind].dimension
    random = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    full = LocalFeatures(
        np.zeros((count, 2), np.float32), random / np.linalg.norm(random, axis=1)[:, None], (320, 240), kind
    )
    assert 32_000 < len(PackedFeatures(full, np.zeros((count, 3), np.float32)).pack()) < 64_000


def test_blank_image_packs_too() -> None:
    empty = no_features("xfeat", (320, 240))
    back = unpack(PackedFeatures(empty, np.empty((0, 3), np.float32)).pack(), "xfeat")
    assert len(back.features) == 0
    assert back.points is not None
    assert back.points.shape == (0, 3)


def test_damaged_rows_are_refused() -> None:
    row = PackedFeatures(find_features(view(street(seed=5, metres=20), 4.0), 20)).pack()
    loud = row[:8] + bytes(80) + b"\x7f" * (len(row) - 88)  # a descriptor of length 11
    odd = [b"", row[:7], row[:-1], row + b"\0", bytes(8), row[:6] + b"\x02\0" + row[8:], loud]
    for damaged in odd:
        with pytest.raises(MapError):
            StoredFeatures("rootsift", [damaged])[0]
    with pytest.raises(MapError):
        unpack(row, "xfeat")
    assert len(StoredFeatures("rootsift", [row])[0].features) == 20
