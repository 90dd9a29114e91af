"""Places, way and sizes of a map."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.care.summary import summary
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import describe_file
from netvlad_core.mapping.place_map import PlaceMap


def test_numbers_are_those_of_the_street(street_map: PlaceMap) -> None:
    values = json.loads(json.dumps(summary(street_map)))
    assert (values["places"], values["places_with_pose"], values["length"]) == (40, 40, 78.0)
    assert values["spacing"] == pytest.approx(2.0)
    assert values["extent"] == {"x": [0.0, 78.0], "y": [0.0, 0.0], "z": [0.0, 0.0]}
    assert values["bytes"] == sum(
        path.stat().st_size for path in street_map.path.iterdir() if path.name != "map.json"
    )
    (session,) = values["sessions"]
    assert (session["places"], session["name"], session["source"]) == (40, "map", values["source"])
    assert (session["first_stamp"], session["last_stamp"]) == ("100.000000000", "139.000000000")


def test_map_without_poses_has_no_way(street_map: PlaceMap, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(street_map.path, tmp_path / "map"))
    np.save(folder / "poses.npy", np.full((40, 7), np.nan))
    header = MapHeader.read(folder / "map.json")
    files = {**header.files, "poses.npy": describe_file(folder / "poses.npy")}
    replace(header, files=files).write(folder / "map.json")
    values = summary(PlaceMap.open(folder))
    assert values["places_with_pose"] == 0
    assert not {"length", "extent", "spacing"} & values.keys()
