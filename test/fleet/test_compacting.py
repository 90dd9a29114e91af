"""What waits at a site becomes its next version, in its frame; what does not belong there goes on waiting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.fleet.compacting import compact
from netvlad_core.fleet.exchange import pull, push
from netvlad_core.fleet.finding import Finder
from netvlad_core.fleet.store import FleetStore
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import made_map, unit


def _rows(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((12, 48)))


def test_maps_in_one_frame_become_the_next_version(folder: str, tmp_path: Path) -> None:
    store = FleetStore(folder, makes=True)
    paths = [
        made_map(tmp_path / str(number), _rows(number), first_stamp=100 * number).path for number in range(3)
    ]
    push(store, made_map(tmp_path / "other", _rows(5), model="other@2").path, "elsewhere", progress=False)
    for path in paths:
        push(store, path, "town", progress=False)

    def compacted() -> tuple[int, int, int]:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        done = compact(
            store, "town", work / str(len(list(work.iterdir()))), 0, None, same_frame=True, progress=False
        )
        return done.version, done.places, len(done.merged)

    assert compacted() == (2, 36, 2)
    site = store.site("town")
    assert (len(site.versions), site.waiting) == (2, [])
    assert store.tables.count_places("site = 'town'") == 36
    assert store.tables.count_places("site = 'elsewhere'") == 12
    whole = pull(store, "town", tmp_path / "pulled", progress=False).place_map
    assert [drive["name"] for drive in whole.drives] == ["0", "1", "2"]
    assert (
        pull(store, "town", tmp_path / "first", 1, progress=False).place_map.header
        == PlaceMap.open(paths[0]).header
    )
    assert Finder(store, "net@1", 48).find(_rows(1)[5])[0].place == 17

    assert compacted() == (2, 36, 0), "nothing waits"
    push(store, made_map(tmp_path / "late", _rows(7)).path, "town", progress=False)
    assert len(store.site("town").waiting) == 1
    assert compacted() == (3, 48, 1)


def test_other_streets_and_other_models_go_on_waiting(
    street_map: PlaceMap, folder: str, tmp_path: Path
) -> None:
    store = FleetStore(folder, makes=True)
    rows = np.arange(40)
    maps = {
        "all": write_parts([Part.of(street_map)], tmp_path / "all", "split", 0),
        "east": write_parts([Part.of(street_map, rows[14:])], tmp_path / "east", "split", 0),
        "few": write_parts([Part.of(street_map, rows[:3])], tmp_path / "few", "split", 0),
        "net": made_map(tmp_path / "net", _rows(0)),
    }
    for place_map in maps.values():
        push(store, place_map.path, "street", progress=False)
    done = compact(store, "street", tmp_path / "work", 0, device="cpu", progress=False)
    assert (done.version, done.merged) == (2, [maps["east"].header.map_id])
    assert done.places < 66, "pruned"
    few, net = maps["few"].header.map_id, maps["net"].header.map_id
    assert "cannot be joined" in done.left_out[few]
    assert "its model is not" in done.left_out[net]
    assert [entry.map_id for entry in store.site("street").waiting] == [few, net]


def test_places_of_a_push_that_goes_on_stay(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FleetStore(folder, makes=True)
    push(store, made_map(tmp_path / "0", _rows(0)).path, "town", progress=False)
    with monkeypatch.context() as waiting:
        waiting.setattr(store.tables, "add_to_log", bool)
        with pytest.raises(AssertionError):
            push(store, made_map(tmp_path / "1", _rows(1)).path, "town", progress=False)
    (tmp_path / "work").mkdir()
    compact(store, "town", tmp_path / "work", 0, progress=False)
    assert store.tables.count_places() == 24
