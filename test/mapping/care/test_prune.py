"""What is superfluous goes, what is rare stays, and the loss is measured and bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.prune import importance, prune, recall_among
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import WIDTH, made_map, straight, unit

_COUNT = 120


def _street(seed: int, every: int = 10, count: int = _COUNT) -> np.ndarray:
    """Descriptors (N, D) of a street whose look changes smoothly, anew every few places."""
    rng = np.random.default_rng(seed)
    anchors = rng.standard_normal((count // every + 2, WIDTH))
    at = np.arange(count) / every
    share = (at - at.astype(int))[:, None]
    noise = 0.3 * rng.standard_normal((count, WIDTH))
    return unit((1 - share) * anchors[at.astype(int)] + share * anchors[at.astype(int) + 1] + noise)


@pytest.fixture
def street_of_places(tmp_path: Path) -> PlaceMap:
    descriptors = _street(0)
    return made_map(tmp_path / "street", descriptors, straight(descriptors, 1.0))


def test_half_of_the_places_find_all(street_of_places: PlaceMap, tmp_path: Path) -> None:
    pruned = prune(street_of_places, tmp_path / "half", _COUNT // 2, None)
    assert len(pruned.place_map) == _COUNT // 2
    assert pruned.recall_before - pruned.recall_after <= 0.01
    kept = pruned.place_map.poses[:, 0]
    assert (np.diff(kept) > 0).all(), "places stay in the order of driving"
    assert np.diff(kept).max() <= 5, "no stretch of the street is left without a place"
    assert pruned.place_map.header.history[-1]["operation"] == "prune"


def test_budget_that_costs_too_much_is_refused(street_of_places: PlaceMap, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"with 4 of 120 places Recall@1 .* allow it with --loss 0\.\d+"):
        prune(street_of_places, tmp_path / "few", 4, None)
    assert not (tmp_path / "few").exists()
    assert len(prune(street_of_places, tmp_path / "few", 4, None, most_loss=1.0).place_map) == 4


def test_without_a_budget_the_loss_decides(street_of_places: PlaceMap, tmp_path: Path) -> None:
    strict = prune(street_of_places, tmp_path / "strict", None, None, most_loss=0.0)
    loose = prune(street_of_places, tmp_path / "loose", None, None, most_loss=0.05)
    assert len(loose.place_map) < len(strict.place_map) < _COUNT
    assert strict.recall_after >= strict.recall_before
    assert loose.recall_after >= loose.recall_before - 0.05


def test_rare_view_stays(tmp_path: Path) -> None:
    """A street of one look, and one place of it in another light."""
    rng = np.random.default_rng(1)
    look = rng.standard_normal(WIDTH)
    descriptors = unit(look + 0.2 * rng.standard_normal((_COUNT, WIDTH)))
    night = 57
    descriptors[night] = unit(rng.standard_normal((1, WIDTH)))[0]
    place_map = made_map(tmp_path / "one", descriptors, straight(descriptors, 1.0))
    order = importance(place_map)
    assert sorted(order) == list(range(_COUNT))
    assert order.tolist().index(night) < _COUNT // 5


def test_drives_of_other_light_thin_out_alike(tmp_path: Path) -> None:
    """By night all images resemble each other, and still half of each drive stays, evenly."""
    day, noise = _street(0), _street(5)
    night = unit(2.5 * np.eye(WIDTH)[0] + 0.6 * day + 0.3 * noise)
    lights = {"day": day, "night": night}
    maps = [made_map(tmp_path / name, rows, straight(rows, 1.0)) for name, rows in lights.items()]
    both = write_parts([Part.of(place_map) for place_map in maps], tmp_path / "both", "merge", 0)
    half = prune(both, tmp_path / "half", _COUNT, None, most_loss=1.0).place_map
    for session in (0, 1):
        kept = half.poses[half.sessions == session, 0]
        assert 0.4 * _COUNT <= len(kept) <= 0.6 * _COUNT
        assert np.diff(kept).max() <= 5


def test_straight_of_one_look_thins_out_evenly(tmp_path: Path) -> None:
    """Places that all look alike stand for each other, the nearer the better."""
    rng = np.random.default_rng(4)
    descriptors = _street(0)
    descriptors[30:90] = unit(descriptors[30] + 0.02 * rng.standard_normal((60, WIDTH)))
    place_map = made_map(tmp_path / "one", descriptors, straight(descriptors, 1.0))
    kept = np.sort(importance(place_map)[: _COUNT // 2])
    assert np.diff(kept).max() <= 6


def test_standing_robot_gives_one_place(tmp_path: Path) -> None:
    descriptors = _street(2, count=60)
    descriptors[20:40] = unit(descriptors[20] + 1e-3 * np.random.default_rng(3).standard_normal((20, WIDTH)))
    poses = straight(descriptors, 1.0)
    poses[20:40, 0] = 20.0
    order = importance(made_map(tmp_path / "one", descriptors, poses))
    assert len(set(order[:40]) & set(range(20, 40))) <= 2


def test_bytes_are_counted(tmp_path: Path) -> None:
    descriptors = _street(0)
    images = [bytes(100 + 10 * row) for row in range(_COUNT)]
    place_map = made_map(tmp_path / "one", descriptors, straight(descriptors, 1.0), images=images)
    size = sum(stated["bytes"] for stated in place_map.header.files.values())
    pruned = prune(place_map, tmp_path / "half", None, size // 2, most_loss=1.0).place_map
    left = sum(stated["bytes"] for stated in pruned.header.files.values())
    assert 0.42 * size < left <= size // 2
    with pytest.raises(MapError, match="no room for a single place"):
        prune(place_map, tmp_path / "none", None, 10)


def test_map_without_poses_is_a_line(tmp_path: Path) -> None:
    descriptors = _street(0)
    place_map = made_map(tmp_path / "one", descriptors, np.full((_COUNT, 7), np.nan))
    assert len(prune(place_map, tmp_path / "half", _COUNT // 2, None).place_map) == _COUNT // 2


def test_recall_is_that_of_the_others(tmp_path: Path) -> None:
    """Two looks, far apart in space: each place finds its neighbour, unless that one is gone."""
    descriptors = unit(np.repeat(np.eye(WIDTH)[:4], 2, axis=0) + 0.01)
    poses = straight(descriptors, 1.0)
    poses[:, 0] += 100.0 * (np.arange(8) // 2)
    place_map = made_map(tmp_path / "one", descriptors, poses)
    assert recall_among(place_map, np.arange(8)) == 1.0
    assert recall_among(place_map, np.array([0, 2, 4, 6])) == 0.5, "those kept have no other to find"
