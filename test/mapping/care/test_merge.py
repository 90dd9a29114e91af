"""Maps in one frame, by name or by a transform."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.care.merge import check_same_frame, joints_on_earth, merge
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import WIDTH, made_map, unit
from support.street import street, view


def test_merged_map_finds_places_of_both(street_map: PlaceMap, tmp_path: Path) -> None:
    joint = Pose.from_xyz_yaw(0.0, 50.0)
    joined = merge([street_map, street_map], [joint], tmp_path / "both", 0)
    assert len(joined) == 80
    answer = Localizer.open(joined.path, device="cpu")(view(street(seed=1, metres=80), 20.0))
    assert {match.place for match in answer.matches[:2]} == {10, 50}
    np.testing.assert_allclose(joined.poses[50, :2], [20.0, 50.0])


def _in_frame(place_map: PlaceMap, frame: str, folder: Path) -> PlaceMap:
    shutil.copytree(place_map.path, folder)
    replace(place_map.header, frame_id=frame).write(folder / "map.json")
    return PlaceMap.open(folder)


def test_same_frame_must_be_one(street_map: PlaceMap, tmp_path: Path) -> None:
    check_same_frame([street_map, street_map])
    odom, site = (_in_frame(street_map, frame, tmp_path / frame) for frame in ("odom", "site"))
    with pytest.raises(MapError, match=r"in the frame odom, those of .* in site"):
        check_same_frame([odom, site])
    with pytest.raises(MapError, match="begins anew with each drive"):
        check_same_frame([odom, odom])


def test_maps_of_gps_are_joined_by_their_origins(tmp_path: Path) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((5, WIDTH)))
    origins = {"one": [48.0, 11.0, 500.0], "other": [48.001, 11.0, 510.0], "none": None}
    one, other, none = (made_map(tmp_path / name, rows, origin=origin) for name, origin in origins.items())
    joined = merge([one, other], joints_on_earth([one, other]), tmp_path / "both", 0)
    # A thousandth of a degree north is 111.2 m there.
    np.testing.assert_allclose(joined.poses[5:, :3] - one.poses[:, :3], [[0, 111.2, 10]] * 5, atol=0.01)
    assert joined.header.origin == [48.0, 11.0, 500.0]
    assert "origin" in (joined.path / "map.json").read_text()
    with pytest.raises(MapError, match="none does not know where on earth it is"):
        joints_on_earth([one, none])
