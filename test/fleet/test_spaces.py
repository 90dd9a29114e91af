"""Descriptors of all maps of a model compare in one space, however each map is stored."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.fleet.objects import Objects, StoreError
from netvlad_core.fleet.spaces import Space, _name
from netvlad_core.fleet.tables import WIDTH
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import made_map, unit

_D = 600


def _described(count: int, seed: int) -> np.ndarray:
    """Descriptors that lie mostly in a subspace of 40 directions, as those of images do."""
    subspace = np.random.default_rng(9).standard_normal((40, _D))
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((count, 40)) @ subspace + 0.3 * rng.standard_normal((count, _D)))


def _coordinates(space: Space, place_map: PlaceMap) -> np.ndarray:
    return np.concatenate([block[3] for block in space.of_map(place_map)]).astype(np.float32)


@pytest.mark.parametrize("first_dimension", [0, 60], ids=["first map whole", "first map reduced"])
def test_similarities_are_kept(first_dimension: int, folder: str, tmp_path: Path) -> None:
    objects = Objects(folder)
    rows = _described(200, 0)
    first = made_map(tmp_path / "first", rows, dimension=first_dimension)
    space = Space.of_model(objects, first)
    other = made_map(tmp_path / "other", _described(150, 1), dimension=100)
    again = Space.of_model(objects, other)
    found = _coordinates(again, other)
    assert found.shape == (150, WIDTH)
    query = _described(1, 2)
    np.testing.assert_allclose(
        found @ space.of_descriptors(query)[0], other.whole_descriptors() @ query[0], atol=0.05
    )
    np.testing.assert_array_equal(
        _coordinates(Space.known(objects, "net@1", _D), other), found, "the first map decides for all"
    )


def test_a_tiny_first_map_leaves_room_for_others(folder: str, tmp_path: Path) -> None:
    objects = Objects(folder)
    space = Space.of_model(objects, made_map(tmp_path / "first", _described(3, 0)))
    other = made_map(tmp_path / "other", _described(150, 1))
    found = _coordinates(space, other)
    query = unit(other.whole_descriptors()[[17]] + 0.02 * _described(1, 3))
    assert (found @ space.of_descriptors(query)[0]).argmax() == 17


def test_short_descriptors_stay_as_they_are(folder: str, tmp_path: Path) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((5, 48)))
    space = Space.of_model(Objects(folder), made_map(tmp_path / "map", rows))
    np.testing.assert_allclose(space.of_descriptors(rows)[:, :48], rows)
    assert not space.of_descriptors(rows)[:, 48:].any()
    assert Objects(folder).read(_name("net@1")) is None


@pytest.mark.parametrize("kind", ["missing", "cut off", "pickled", "shape", "NaN"])
def test_directions_of_a_stranger_are_judged(kind: str, folder: str) -> None:
    objects, file = Objects(folder), BytesIO()
    directions = np.eye(WIDTH, _D, dtype=np.float16)
    if kind == "NaN":
        directions[3] = np.nan
    np.save(file, directions[:5] if kind == "shape" else directions if kind != "pickled" else np.array([{}]))
    if kind != "missing":
        objects.create(_name("net@1"), file.getvalue()[: -9 if kind == "cut off" else None])
    with pytest.raises(StoreError, match="spaces/"):
        Space.known(objects, "net@1", _D)
