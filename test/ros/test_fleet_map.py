"""The node fetches a newer map of its site and swaps it in whole, while images are answered."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Thread
from time import time_ns
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_srvs.srv import Trigger

from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.robot import raw


@pytest.fixture
def store(map_path: Path, tmp_path: Path) -> str:
    """A store whose site street has a map of the first half, and one of all as the next version."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    from netvlad_core.fleet.exchange import push
    from netvlad_core.fleet.store import FleetStore

    store = FleetStore(str(tmp_path / "store"), makes=True)
    place_map = PlaceMap.open(map_path)
    half = write_parts([Part.of(place_map, np.arange(12))], tmp_path / "half", "split", 0)
    push(store, half.path, "street", progress=False)
    push(store, map_path, "street", publishes=True, progress=False)
    return store.location


def test_a_newer_version_is_swapped_in_while_images_are_answered(start, street, store, map_path, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(tmp_path / "half", maps / "street")
    robot = start(
        map="", maps_folder=str(maps), fleet_store=store, site="street"
    )  # opens its folder by itself
    robot.wait_until_it_answers()
    half, whole = (PlaceMap.open(path).header.map_id for path in (tmp_path / "half", map_path))
    fetched = []
    thread = Thread(target=lambda: fetched.append(robot.call(Trigger, "fetch_map", timeout=60.0)))
    thread.start()
    answers: list[Any] = []
    while thread.is_alive() or len(answers) < 3:
        answers.append(robot.ask(raw(street.queries[5], time_ns())))
    answers += [robot.ask(raw(street.queries[5], time_ns()))]
    thread.join()
    assert fetched[0].success, fetched[0].message
    assert fetched[0].message == f"version 2 of street, {whole}, is open now"
    ids = [answer.map_id for answer in answers]
    assert ids == sorted(ids, key=[half, whole].index), "each image is answered by one of the maps in turn"
    assert ids[-1] == whole
    assert {answer.matches[0].place_id for answer in answers} == {5}
    assert robot.ask(raw(street.queries[20], time_ns())).matches[0].place_id == 20
    assert {path.name: path.read_bytes() for path in (maps / "street").iterdir()} == {
        path.name: path.read_bytes() for path in map_path.iterdir()
    }
    again = robot.call(Trigger, "fetch_map", timeout=60.0)
    assert (again.success, again.message) == (True, f"version 2 of street, {whole}, is open already")


def test_what_cannot_be_fetched_leaves_the_open_map(start, street, store, map_path, tmp_path):
    maps = tmp_path / "maps"
    shutil.copytree(map_path, maps / "mine")
    robot = start(map=maps / "mine", maps_folder="", fleet_store=store, site="moon")
    response = robot.call(Trigger, "fetch_map", timeout=60.0)
    assert not response.success
    assert "the map was not fetched" in response.message
    assert "has no site moon; sites: street" in response.message
    assert robot.set_parameter("site", "street") is not None, "it is fixed"
    assert robot.ask(raw(street.queries[7], time_ns())).matches[0].place_id == 7
    assert [path.name for path in maps.iterdir()] == ["mine"]


def test_a_store_is_named_at_start(robot):
    response = robot.call(Trigger, "fetch_map")
    assert not response.success
    assert "fleet_store and site" in response.message
