"""Many drives become maps: the same bytes by one process and by two nodes of a cluster, of which one dies."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any

import numpy as np
import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.fleet.build_maps import Drive, build_maps
from netvlad_core.mapping.builder import BuildOptions
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_FITTED = BuildOptions(device="cpu", dimension=48, store_features="none")


def _drives(folder: Path, metres: float = 60.0) -> list[Drive]:
    """The same street twice, in two frames, and another one."""
    drives = []
    for name, seed, first_x, gain in (
        ("monday", 1, 0.0, 1.0),
        ("tuesday", 1, 500.0, 0.9),
        ("away", 2, 0.0, 1.0),
    ):
        fronts = street(seed=seed, metres=60)
        catalogue = write_catalogue(folder / name, fronts, np.arange(0.0, metres, 2.0), first_x, gain)
        drives.append(Drive(name, catalogue))
    return drives


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "build_maps.json"
    }


def _kill_the_builder_of(work: Path, killed: Event) -> None:
    """Kill the process that has the journal of a build open."""
    while not killed.is_set():
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if os.readlink(link) == str(work / "journal.jsonl"):
                    os.kill(int(link.parts[2]), signal.SIGKILL)
                    killed.set()
        sleep(0.01)


def test_one_process_and_a_cluster_that_loses_one_build_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is in no environment that is made here: pip install ray")
    from ray.cluster_utils import Cluster

    drives = _drives(tmp_path / "drives")
    alone = build_maps(drives, tmp_path / "alone", _FITTED, workers=1, progress=False)
    assert alone.maps == {"monday": 30, "tuesday": 30, "away": 30}
    assert alone.failures == {}
    assert alone.merged == 60
    assert list(alone.left_out) == ["away"]
    assert "cannot be joined" in alone.left_out["away"]
    maps = {name: PlaceMap.open(tmp_path / "alone" / name) for name in (*alone.maps, "merged")}
    assert len({place_map.header.model_id for place_map in maps.values()}) == 1
    assert maps["monday"].header.files["directions.npy"] == maps["away"].header.files["directions.npy"]
    assert np.abs(maps["merged"].poses[30:, 0] - maps["merged"].poses[:30, 0]).max() < 2

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    killed = Event()
    killer = Thread(target=_kill_the_builder_of, args=(tmp_path / "cluster" / ".tuesday.partial", killed))
    try:
        cluster.add_node(num_cpus=1)
        killer.start()
        built = build_maps(drives, tmp_path / "cluster", _FITTED, cluster.address, progress=False)
    finally:
        was_killed = killed.is_set()
        killed.set()
        killer.join()
        cluster.shutdown()
    assert was_killed
    assert (built.maps, built.failures, built.merged) == (alone.maps, {}, 60)
    assert _content(tmp_path / "cluster") == _content(tmp_path / "alone")


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tasks run in this process; returns the names of the drives that were built."""
    names: list[str] = []

    class Here:
        def run(self, function: Any, items: Any, title: str, progress: bool) -> Iterator[tuple[Any, Any]]:
            for item in items:
                names.append(item.drive.name)
                try:
                    yield item, function(item)
                except NetvladError as error:
                    yield item, error

    here = contextmanager(lambda address, count: iter([Here()]))
    monkeypatch.setattr("netvlad_core.fleet.build_maps.open_workers", here)
    return names


def test_second_run_does_what_is_missing(tmp_path: Path, checkpoint: Path, no_ray: list[str]) -> None:
    drives = _drives(tmp_path / "drives", metres=8.0)
    broken = Drive("broken", tmp_path / "nowhere")
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    place = tmp_path / "maps"
    built = build_maps([*drives[:2], broken], place, options, merges=False, progress=False)
    assert (built.made, built.merged, list(built.failures)) == (["monday", "tuesday"], 0, ["broken"])
    assert "does not exist" in built.failures["broken"]

    shutil.rmtree(place / "tuesday")
    again = build_maps(drives, place, options, merges=False, progress=False)
    assert (again.made, again.failures) == (["tuesday", "away"], {})
    del no_ray[:]
    assert build_maps(drives, place, options, merges=False, progress=False).maps == again.maps
    assert no_ray == []
    with pytest.raises(NetvladError, match="begun with another network or dimension"):
        build_maps(drives, place, replace(options, dimension=8), progress=False)


def test_same_frame_is_taken_at_its_word(tmp_path: Path, checkpoint: Path, no_ray: list[str]) -> None:
    drives = _drives(tmp_path / "drives", metres=8.0)
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    assert build_maps(drives, tmp_path / "maps", options, same_frame=True, progress=False).merged == 12
    merged = PlaceMap.open(tmp_path / "maps" / "merged")
    assert [drive["name"] for drive in merged.drives] == ["monday", "tuesday", "away"]
    assert merged.poses[4, 0] == 500.0


def test_what_cannot_be_built_is_refused(tmp_path: Path, no_ray: list[str]) -> None:
    drives = _drives(tmp_path / "drives")
    with pytest.raises(NetvladError, match="found none"):
        build_maps([], tmp_path / "maps", _FITTED)
    with pytest.raises(NetvladError, match="several drives are named monday"):
        build_maps([drives[0], drives[0]], tmp_path / "maps", _FITTED)
    with pytest.raises(NetvladError, match="cannot be the name"):
        build_maps([Drive("merged", drives[0].path)], tmp_path / "maps", _FITTED)
    with pytest.raises(NetvladError, match="none of the 1 drives can be read"):
        build_maps([Drive("x", tmp_path / "nowhere")], tmp_path / "maps", _FITTED)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(NetvladError, match="left alone"):
        build_maps(drives, tmp_path / "letters", _FITTED)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]
