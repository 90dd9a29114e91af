"""A map is checked to the last byte, and every fault is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.care.validation import faults_of
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import describe_file
from netvlad_core.mapping.place_map import PlaceMap


@pytest.fixture
def damaged(street_map: PlaceMap, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street_map.path, tmp_path / "map"))


def test_whole_map_has_no_faults(street_map: PlaceMap) -> None:
    assert list(faults_of(street_map.path)) == []


def test_every_damaged_file_is_named(damaged: Path) -> None:
    for name in ("poses.npy", "images.bin"):
        content = bytearray((damaged / name).read_bytes())
        content[-1] ^= 1
        (damaged / name).write_bytes(content)
    (damaged / "names.json").unlink()
    faults = list(faults_of(damaged))
    assert len(faults) == 3
    for name in ("poses.npy", "images.bin", "names.json"):
        assert any(name in fault for fault in faults)


def _restated(folder: Path, **changes: str) -> None:
    """Let map.json state the files as they are."""
    header = MapHeader.read(folder / "map.json")
    files = {name: describe_file(folder / name) for name in header.files}
    replace(header, files=files, **changes).write(folder / "map.json")


def test_images_that_do_not_decode_are_found(street_map: PlaceMap, damaged: Path) -> None:
    ends = np.load(damaged / "image_ends.npy")
    content = bytearray((damaged / "images.bin").read_bytes())
    for place in (3, 17):
        content[ends[place - 1] : ends[place]] = bytes(int(ends[place] - ends[place - 1]))
    (damaged / "images.bin").write_bytes(content)
    _restated(damaged)
    faults = list(faults_of(damaged))
    assert [fault.split(" in ")[0] for fault in faults] == ["the image of place 3", "the image of place 17"]
    assert list(faults_of(damaged, images=2)) == [], "the first and the last one are whole"


def test_missing_network_and_odd_pose_are_found(damaged: Path) -> None:
    _restated(damaged, weights="/nowhere.safetensors")
    assert ["/nowhere.safetensors" in fault for fault in faults_of(damaged)] == [True]
    poses = np.load(damaged / "poses.npy")
    poses[5, 3:] = 0.0
    np.save(damaged / "poses.npy", poses)
    _restated(damaged)
    assert ["place 5 has a pose that is none" in fault for fault in faults_of(damaged)] == [True]


def test_no_map_is_a_fault(tmp_path: Path) -> None:
    assert ["map.json is missing" in fault for fault in faults_of(tmp_path)] == [True]
