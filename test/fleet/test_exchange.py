"""Maps go into a store and come out byte for byte, whoever pushes at the same time and whatever breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netvlad_core.errors import MapError, NetvladError
from netvlad_core.fleet.exchange import pull, push
from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.store import FleetStore
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import made_map, unit

_ROOT = Path(__file__).resolve().parents[2]


def _map(folder: Path, seed: int = 0, count: int = 20) -> PlaceMap:
    rows = unit(np.random.default_rng(seed).standard_normal((count, 48)))
    return made_map(folder, rows, images=None)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _pushed(store: FleetStore, path: Path) -> Path:
    """An earlier map at a path, which is in the store: only such a one may be replaced."""
    push(store, _map(path, seed=5).path, "elsewhere", progress=False)
    return path


def _places(location: str) -> list[tuple[str, int]]:
    tables = FleetStore(location).tables
    rows = tables._places.search().select(["session", "place"]).limit(None).to_arrow().to_pylist()
    return sorted((row["session"], row["place"]) for row in rows)


def test_eight_processes_push_at_once(location: str, tmp_path: Path) -> None:
    """Into a store that is not there yet; two of them push one and the same map."""
    maps = [_map(tmp_path / f"robot{number}", seed=min(number, 6)) for number in range(7)]
    paths = [*(place_map.path for place_map in maps), maps[0].path]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "netvlad_core",
                "fleet",
                "push",
                path,
                "--site",
                "town",
                "--store",
                location,
            ],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for path in paths
    ]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 8, said
    site = FleetStore(location).site("town")
    assert sorted(entry.map_id for entry in site.entries) == sorted(each.header.map_id for each in maps)
    sessions = sorted(entry.session for entry in site.entries)
    assert _places(location) == [(session, place) for session in sessions for place in range(20)]
    for number, entry in enumerate(site.entries):
        store = FleetStore(location)
        if number == 0:
            pull(store, "town", tmp_path / "pulled", progress=False)
            assert _content(tmp_path / "pulled") == _content(tmp_path / entry.map_id.partition("@")[0])


def test_push_and_pull_again_change_nothing(folder: str, tmp_path: Path) -> None:
    place_map = _map(tmp_path / "map")
    (place_map.path / "model.int8.onnx").write_bytes(b"exported later")
    store = FleetStore(folder, makes=True)
    entry, is_new = push(store, place_map.path, "town", "r2d2", progress=False)
    again, is_again = push(store, place_map.path, "town", "c3po", progress=False)
    assert (is_new, is_again, again, entry.robot) == (True, False, entry, "r2d2")
    assert len(_places(folder)) == 20
    assert push(store, place_map.path, "elsewhere", progress=False)[1], "it may be at two sites"
    for is_there in (False, True):
        pulled = pull(store, "town", tmp_path / "new" / "pulled", progress=False)
        assert (pulled.version, pulled.is_new) == (1, not is_there)
    assert _content(tmp_path / "new" / "pulled") == _content(place_map.path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pulled"]


def test_a_published_map_is_the_next_version(folder: str, tmp_path: Path) -> None:
    store = FleetStore(folder, makes=True)
    for number, publishes in enumerate((False, False, True)):
        push(store, _map(tmp_path / str(number), number).path, "town", publishes=publishes, progress=False)
    assert pull(store, "town", tmp_path / "pulled", progress=False).version == 2
    assert _content(tmp_path / "pulled") == _content(tmp_path / "2")
    assert pull(store, "town", tmp_path / "pulled", 1, progress=False).is_new
    assert _content(tmp_path / "pulled") == _content(tmp_path / "0")


@pytest.mark.parametrize("where", ["create", "add_places", "add_to_log"])
def test_a_push_that_broke_is_continued(
    where: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_map, store = _map(tmp_path / "map"), FleetStore(folder, makes=True)
    part = store.objects if where == "create" else store.tables
    with monkeypatch.context() as broken:
        call, calls = getattr(part, where), list[Any]()

        def breaks(*arguments: Any) -> Any:
            calls.append(call(*arguments) if where != "create" or len(calls) < 3 else None)
            if where != "create" or len(calls) == 3:
                raise StoreError("the connection is gone")

        if where == "add_to_log":
            call = bool  # nothing is written
        broken.setattr(part, where, breaks)
        with pytest.raises(StoreError, match="gone"):
            push(store, place_map.path, "town", progress=False)
    assert store.find_site("town") is None
    assert push(store, place_map.path, "town", progress=False)[1]
    assert len(_places(folder)) == len(set(_places(folder))) == 20
    pull(store, "town", tmp_path / "pulled", progress=False)
    assert _content(tmp_path / "pulled") == _content(place_map.path)


def test_a_pull_that_broke_is_continued_and_the_earlier_map_stays(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, output = FleetStore(folder, makes=True), tmp_path / "pulled"
    push(store, _map(tmp_path / "map").path, "town", progress=False)
    earlier = _content(_pushed(store, output))
    read, names = store.objects.read, list[str]()

    def breaks(name: str) -> bytes | None:
        names.append(name)
        if len(names) == 4:
            raise StoreError("the connection is gone")
        return read(name)

    monkeypatch.setattr(store.objects, "read", breaks)
    with pytest.raises(StoreError, match="gone"):
        pull(store, "town", output, progress=False)
    assert _content(output) == earlier
    broken_at, before = names[3], set(names[:3])
    del names[:]
    names.extend(["", "", "", "", ""])
    assert pull(store, "town", output, progress=False).is_new
    assert broken_at in names
    assert not before & set(names), "what was there is not read again"
    assert _content(output) == _content(tmp_path / "map")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map", "pulled", "store"]


def test_a_damaged_map_of_a_store_is_refused(folder: str, tmp_path: Path) -> None:
    store, output = FleetStore(folder, makes=True), tmp_path / "pulled"
    entry, _ = push(store, _map(tmp_path / "map").path, "town", progress=False)
    earlier = _content(_pushed(store, output))
    stored = Path(folder) / "files" / entry.files["poses.npy"]["sha256"] / "000000"
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    with pytest.raises(
        StoreError, match=r"is refused, and .* stays as it was: poses.npy is not what was pushed"
    ):
        pull(store, "town", output, progress=False)
    stored.unlink()
    with pytest.raises(StoreError, match="lacks part 0"):
        pull(store, "town", output, progress=False)
    assert _content(output) == earlier


def test_room_on_the_disk_is_looked_for_first(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FleetStore(folder, makes=True)
    push(store, _map(tmp_path / "map").path, "town", progress=False)
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr("netvlad_core.fleet.exchange.shutil.disk_usage", lambda _: full)
    with pytest.raises(StoreError, match="has 1000 left: make room"):
        pull(store, "town", tmp_path / "pulled", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map", "store"]


def test_a_map_that_is_not_accepted_does_not_replace_the_earlier_one(folder: str, tmp_path: Path) -> None:
    store, output = FleetStore(folder, makes=True), tmp_path / "pulled"
    push(store, _map(tmp_path / "map").path, "town", progress=False)
    earlier = _content(_pushed(store, output))

    def refuse(place_map: PlaceMap) -> None:
        raise MapError(f"{len(place_map)} places are too many")

    with pytest.raises(MapError, match="20 places"):
        pull(store, "town", output, accept=refuse, progress=False)
    assert _content(output) == earlier


def test_nothing_of_a_stranger_is_replaced(folder: str, tmp_path: Path) -> None:
    store = FleetStore(folder, makes=True)
    place_map = _map(tmp_path / "map")
    push(store, place_map.path, "town", progress=False)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(NetvladError, match="left alone"):
        pull(store, "town", tmp_path / "letters", progress=False)
    own = _content(_map(tmp_path / "own", seed=3).path)
    with pytest.raises(MapError, match=r"is not in .*store, so it would be lost: push it first"):
        pull(store, "town", tmp_path / "own", progress=False)
    assert _content(tmp_path / "own") == own
    (place_map.path / "poses.npy").write_bytes(b"damaged")
    with pytest.raises(MapError, match=r"poses\.npy"):
        push(store, place_map.path, "other", progress=False)
    with pytest.raises(StoreError, match="cannot be the name"):
        push(store, place_map.path, "../town", progress=False)
