"""A map replaces a map and nothing else; it is whole, and its copy holds what map.json names."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError, NetvladError
from netvlad_core.files import sole_writer
from netvlad_core.mapping.map_writer import check_output, copy_map, write_places, writing_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.stored_file import StoredFile

_HEADER = MapHeader(model_id="model@0", frame_id="map", source="a drive")


@pytest.fixture
def map_copy(street_map: PlaceMap, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street_map.path, tmp_path / "map"))


def _places(count: int = 4) -> Places:
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    return Places(np.eye(count, 6, dtype=np.float32), np.arange(count), poses)


def _write(folder: Path, places: Places, header: MapHeader = _HEADER) -> None:
    with writing_map(folder, header) as new:
        write_places(new, places, [str(row) for row in range(len(places))])


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _strangers(folder: Path) -> list[Path]:
    """Folders that look like a map and are none, or hold more than one."""
    tiled, notes, annotated, linked, damaged = (folder / name for name in "abcde")
    for path in (tiled, notes, annotated, linked, damaged):
        _write(path, _places())
    (tiled / "map.json").write_text('{"type": "map"}')
    (notes / "README.md").write_text("years of work")
    (annotated / "annotations").mkdir()
    (annotated / "annotations" / "poses.npy").write_text("mine")
    (linked / "model.int8.onnx").symlink_to(folder / "precious")
    (damaged / "poses.npy").write_bytes(b"a file of mine with this name")
    return [tiled, notes, annotated, linked, damaged]


def test_folder_of_a_stranger_is_left_as_it_is(street_map: PlaceMap, tmp_path: Path) -> None:
    for path in _strangers(tmp_path):
        before = _snapshot(path)
        with pytest.raises(MapError, match="left alone"):
            _write(path, _places(3))
        with pytest.raises(MapError, match="left alone"):
            copy_map(street_map, path)
        assert _snapshot(path) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["inner", "some/where/inner"])
def test_no_map_is_written_into_a_map(name: str, street_map: PlaceMap, map_copy: Path) -> None:
    with pytest.raises(NetvladError, match="lies in the map"):
        copy_map(street_map, map_copy / name)
    check_output(map_copy)  # it can still be replaced


def test_map_of_ours_is_replaced_with_its_exported_networks(map_copy: Path, tmp_path: Path) -> None:
    (map_copy / "model.int8.onnx").write_bytes(b"exported")
    _write(map_copy, _places(3))
    assert len(PlaceMap.open(map_copy)) == 3
    assert not (map_copy / "model.int8.onnx").exists()
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    check_output(tmp_path / "nothing")


def test_file_that_comes_while_a_map_is_written_is_not_lost(map_copy: Path) -> None:
    def write() -> None:
        with writing_map(map_copy, _HEADER) as new:
            write_places(new, _places(), ["a"] * 4)
            (map_copy / "thesis.tex").write_text("years of work")

    with pytest.raises(MapError, match=r"thesis\.tex"):
        write()
    assert (map_copy / "thesis.tex").read_text() == "years of work"
    assert len(PlaceMap.open(map_copy)) == 40


@pytest.mark.parametrize("name", [".map.previous", ".map.new", ".map.partial"])
def test_hidden_folders_of_a_stranger_stay(
    name: str, street_map: PlaceMap, map_copy: Path, tmp_path: Path
) -> None:
    precious = tmp_path / name / "photo.jpg"
    precious.parent.mkdir()
    precious.write_text("precious")
    copy_map(street_map, map_copy)
    _write(map_copy, _places())
    assert precious.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["map", name])


def test_one_at_a_time_writes_a_map(street_map: PlaceMap, map_copy: Path, tmp_path: Path) -> None:
    with sole_writer(map_copy):
        for write in (lambda: _write(map_copy, _places()), lambda: copy_map(street_map, map_copy)):
            with pytest.raises(NetvladError, match="another build of map is running"):
                write()
        _write(tmp_path / "other", _places())
    assert len(PlaceMap.open(map_copy)) == 40
    _write(map_copy, _places())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map", "other"]


@pytest.mark.parametrize("value", [np.nan, 0.0, 100.0])
def test_map_with_a_descriptor_that_is_none_is_not_written(value: float, map_copy: Path) -> None:
    places = _places()
    places.descriptors = np.eye(4, 6, dtype=np.float32) * np.array([1, 1, value, 1], np.float32)[:, None]
    with pytest.raises(MapError, match="place 2 has a descriptor"):
        _write(map_copy, places)
    assert len(PlaceMap.open(map_copy)) == 40


def test_copy_holds_what_map_json_names(map_copy: Path, tmp_path: Path) -> None:
    """Links lead to what others must not read."""
    (tmp_path / "secret").write_text("secret")
    (map_copy / "extra").symlink_to(tmp_path / "secret")
    (map_copy / "model.float16.onnx").symlink_to(tmp_path / "secret")
    (map_copy / "model.int8.onnx").write_bytes(b"exported")
    (map_copy / "notes.txt").write_text("mine")
    os.mkfifo(map_copy / "pipe")
    place_map = PlaceMap.open(map_copy)
    copy_map(place_map, tmp_path / "copy")
    expected = {"map.json", "model.int8.onnx", *place_map.header.files}
    assert {path.name for path in (tmp_path / "copy").iterdir()} == expected
    assert PlaceMap.open(tmp_path / "copy", verify=True).header == place_map.header


@pytest.mark.parametrize("is_copy", [True, False])
def test_full_disk_is_one_error_that_names_the_map(
    is_copy: bool, street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr(StoredFile, "copy_to", fail)
    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/copy'"):
        copy_map(street_map, tmp_path / "copy") if is_copy else _write(tmp_path / "copy", _places())
    assert list(tmp_path.iterdir()) == []


def test_link_in_the_place_of_a_file_is_not_followed(map_copy: Path, tmp_path: Path) -> None:
    shutil.move(map_copy / "poses.npy", tmp_path / "poses.npy")
    (map_copy / "poses.npy").symlink_to(tmp_path / "poses.npy")
    with pytest.raises(MapError, match=r"poses\.npy is a link"):
        PlaceMap.open(map_copy)


def test_link_to_a_map_stays_a_link(street_map: PlaceMap, map_copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(map_copy)
    _write(map_copy, _places())
    for write, count in ((lambda: copy_map(street_map, link), 40), (lambda: _write(link, _places()), 4)):
        write()
        assert link.is_symlink()
        assert len(PlaceMap.open(map_copy)) == count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "map"]


def test_odd_bytes_of_a_path_are_written_out(tmp_path: Path) -> None:
    """A ROS message cannot carry them."""
    folder = tmp_path / os.fsdecode(b"campus\xff")
    _write(folder, _places(), replace(_HEADER, source=f"bag {folder}"))
    header = PlaceMap.open(folder).header
    assert header.map_id.startswith("campus\\udcff@")
    assert json.dumps([header.map_id, header.source]).isascii()
    (header.map_id + header.source).encode()
