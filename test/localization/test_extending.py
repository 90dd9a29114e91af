"""A map learns new streets and new looks from a drive, and nothing that it knows already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import MapError
from netvlad_core.localization.extending import extend
from netvlad_core.mapping.builder import BuildOptions
from netvlad_core.mapping.care.parts import Part, write_parts
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
