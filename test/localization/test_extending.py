"""A map learns new streets and new looks from a drive, and nothing that it knows already."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import MapError, NetvladError
from netvlad_core.localization import extending
from netvlad_core.localization.extending import extend
from netvlad_core.mapping.builder import BuildOptions
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.keyframes import KeyframeRule
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_OPTIONS = BuildOptions(device="cpu")


def _drive(folder: Path, seed: int = 1, gain: float = 1.0) -> CatalogueSource:
    """A drive along the street, which begins at x = 500 in the frame of its odometry."""
    return CatalogueSource.from_csv(
        write_catalogue(folder, street(seed=seed, metres=80), np.arange(0.0, 80.0, 2.0), 500.0, gain)
    )


def test_only_the_new_street_is_added(street_map: PlaceMap, tmp_path: Path) -> None:
    west = write_parts([Part.of(street_map, np.arange(30))], tmp_path / "west", "split", 0)
    done = extend(west.path, _drive(tmp_path / "drive"), "again", tmp_path / "all", _OPTIONS, progress=False)
    assert (done.driven, done.joint.figures["agreeing"] > 10) == (40, True)
    added = done.place_map.poses[30:, 0]
    assert len(added) == done.added
    assert added.min() > 56, "what the map knows is left out"
    assert np.abs(added - np.arange(80 - 2 * len(added), 80, 2)).max() < 2, "in the frame of the map"
    assert [drive["name"] for drive in done.place_map.drives] == ["map", "again"]
    np.testing.assert_array_equal(done.place_map.sessions, [0] * 30 + [1] * len(added))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("gain", "fewest", "most"), [(1.0, 0, 0), (0.25, 5, 40)])
def test_other_look_is_added_and_the_same_is_not(
    gain: float, fewest: int, most: int, street_map: PlaceMap, tmp_path: Path
) -> None:
    drive = _drive(tmp_path / "drive", gain=gain)
    done = extend(street_map.path, drive, "again", tmp_path / "all", _OPTIONS, progress=False)
    assert fewest <= done.added <= most
    assert len(done.place_map) == 40 + done.added


def test_other_street_is_refused_and_leaves_nothing(street_map: PlaceMap, tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", seed=2)
    with pytest.raises(MapError, match="cannot be joined"):
        extend(street_map.path, drive, "x", tmp_path / "all", _OPTIONS, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


@pytest.mark.parametrize("seed", [1, 2], ids=["same street", "other street"])
def test_files_of_others_in_the_work_folder_stay(seed: int, street_map: PlaceMap, tmp_path: Path) -> None:
    work = tmp_path / ".all.drive"
    work.mkdir()
    (work / "thesis.txt").write_text("years")
    try:
        extend(
            street_map.path, _drive(tmp_path / "drive", seed), "x", tmp_path / "all", _OPTIONS, progress=False
        )
    except MapError:
        assert seed == 2
    assert [path.name for path in work.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "/elsewhere", "a/b"])
def test_name_of_a_session_is_no_path(name: str, street_map: PlaceMap, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="cannot be the name of a session"):
        extend(street_map.path, _drive(tmp_path / "drive"), name, tmp_path / "all", _OPTIONS, progress=False)


def test_a_run_that_is_stopped_while_it_joins_describes_nothing_twice(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    west = write_parts([Part.of(street_map, np.arange(30))], tmp_path / "west", "split", 0)
    source = _drive(tmp_path / "drive")
    with monkeypatch.context() as patch:
        patch.setattr(extending, "join", _stop)
        with pytest.raises(KeyboardInterrupt):
            extend(west.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    assert not (tmp_path / "all").exists()
    for picture in (tmp_path / "drive").glob("*.png"):  # size and time say that it is the same drive
        status = picture.stat()
        picture.write_bytes(bytes(status.st_size))
        os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = extend(west.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    assert (done.driven, done.place_map.header.skipped) == (40, {})
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_with_other_options_a_stopped_run_begins_anew(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _drive(tmp_path / "drive")
    with monkeypatch.context() as patch:
        patch.setattr(extending, "join", _stop)
        with pytest.raises(KeyboardInterrupt):
            extend(street_map.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    sparse = replace(_OPTIONS, keyframes=KeyframeRule(distance=3.0))
    assert extend(street_map.path, source, "again", tmp_path / "all", sparse, progress=False).driven == 20


def test_a_run_that_is_stopped_while_it_tidies_up_can_be_repeated(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _drive(tmp_path / "drive")
    remove = shutil.rmtree

    def half(path: Path, **options: object) -> None:
        """Remove one file of the drive's map, and no more."""
        for file in Path(path).rglob("poses.npy"):
            if any(part.endswith(".drive") for part in file.parts):
                file.unlink()
                raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            extend(street_map.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    expected = PlaceMap.open(tmp_path / "all", verify=True).header.files
    done = extend(street_map.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    assert done.place_map.header.files == expected
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_runs_at_once_are_told_apart(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, join = _drive(tmp_path / "drive"), extending.join

    def meanwhile(*arguments: object) -> object:
        with pytest.raises(NetvladError, match="another program writes"):
            extend(street_map.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
        return join(*arguments)

    monkeypatch.setattr(extending, "join", meanwhile)
    done = extend(street_map.path, source, "again", tmp_path / "all", _OPTIONS, progress=False)
    assert len(PlaceMap.open(done.place_map.path, verify=True)) == 40 + done.added


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
