"""An image is found among the places of all sites, in the maps that count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.fleet.exchange import push
from netvlad_core.fleet.finding import Finder, Sighting, open_network, share_of_sites
from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.store import FleetStore
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import made_map, unit
from support.street import street, view, write_catalogue


def _rows(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((12, 48)))


def test_the_site_and_the_place_are_found(folder: str, tmp_path: Path) -> None:
    store = FleetStore(folder, makes=True)
    poses = np.full((12, 7), np.nan)
    for number, site in enumerate(("harbour", "campus", "airport")):
        place_map = made_map(tmp_path / site, _rows(number), poses if site == "airport" else None)
        push(store, place_map.path, site, progress=False)
    finder = Finder(store, "net@1", 48)
    found = finder.find(unit(_rows(1)[[7]] + 0.05 * _rows(0)[[2]])[0], 3)
    assert [(each.site, each.place) for each in found[:1]] == [("campus", 7)]
    assert len(found) == 3
    assert (found[0].pose, found[0].is_version) == ([14.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], True)
    assert found[0].map_id == PlaceMap.open(tmp_path / "campus").header.map_id
    assert finder.find(_rows(2)[3])[0].pose is None
    with pytest.raises(StoreError, match="no map of the model other@2, only of net@1"):
        Finder(store, "other@2", 48)


def test_earlier_versions_do_not_count(folder: str, tmp_path: Path) -> None:
    store = FleetStore(folder, makes=True)
    for number in range(3):
        path = made_map(tmp_path / str(number), _rows(number)).path
        push(store, path, "town", publishes=number > 0, progress=False)
    found = Finder(store, "net@1", 48).find(_rows(0)[4], 12)
    assert {each.map_id for each in found} == {PlaceMap.open(tmp_path / "2").header.map_id}


def test_sites_by_share_of_images() -> None:
    sites = ["a", "b", "b", "b"]
    assert share_of_sites(Sighting(site, "", "", True, 0, 0, 0.0, None) for site in sites) == {
        "b": 0.75,
        "a": 0.25,
    }
    assert share_of_sites([]) == {}


def test_the_network_comes_from_the_store(folder: str, checkpoint: Path, tmp_path: Path) -> None:
    from netvlad_core.data.catalogue import CatalogueSource

    fronts = street(seed=1, metres=20)
    drive = CatalogueSource.from_csv(write_catalogue(tmp_path / "drive", fronts, range(0, 20, 2)))
    store = FleetStore(folder, makes=True)
    push(store, made_map(tmp_path / "made", _rows(0)).path, "town", progress=False)
    with pytest.raises(StoreError, match="name it with --weights"):
        open_network(store, tmp_path)
    options = BuildOptions(weights=checkpoint, device="cpu", keep_network=True, store_features="none")
    place_map = build_map(drive, tmp_path / "map", options, progress=False)
    push(store, place_map.path, "street", progress=False)
    extractor = open_network(store, tmp_path, "cpu")
    assert extractor.model_id == place_map.header.model_id
    found = Finder(store, extractor.model_id, extractor.dimension).find(extractor(view(fronts, 6.0))[0])
    assert (found[0].site, found[0].place) == ("street", 3)
