"""The map of a report: figures, pictures, and places that look like others elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.report.places import map_values, place_pictures, place_rows
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.place_map import PlaceMap


def test_figures_of_a_map(street_map: PlaceMap) -> None:
    values = json.loads(json.dumps(map_values(street_map), allow_nan=False))
    assert values["header"]["map_id"] == street_map.header.map_id
    assert (values["x"][:3], values["y"][:3]) == ([0.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    assert (values["length"], values["seconds"], values["has_poses"]) == (78.0, 39.0, True)
    assert values["files"]["poses.npy"] > 40 * 7 * 8


def test_drives_of_a_map_are_told_apart(street_map: PlaceMap, tmp_path: Path) -> None:
    both = merge([street_map, street_map], [Pose.from_xyz_yaw(0.0, 50.0)], tmp_path / "both", 0)
    values = map_values(both)
    assert values["length"] == 2 * 78.0  # nobody drove from the end of one to the start of the other
    assert len(values["sessions"]) == 2
    assert values["session_of"] == [0] * 40 + [1] * 40
    assert map_values(street_map)["session_of"] is None


def test_each_place_has_what_looks_like_it_more_than_25_m_away(street_map: PlaceMap) -> None:
    rows = list(place_rows(street_map))
    assert len(rows) == 40
    similarities = street_map.descriptors[:] @ street_map.descriptors[:].T
    for row in rows:
        away = np.abs(2.0 * np.arange(40) - 2.0 * row["number"])
        elsewhere = np.where(away > 25, similarities[row["number"]], -1)
        assert row["place"] == int(np.argmax(elsewhere))
        assert abs(row["similarity"] - elsewhere.max()) < 0.01
        assert len(row["matches"]) == 5


def test_only_the_asked_places_have_pictures(street_map: PlaceMap) -> None:
    pictures = place_pictures(street_map, [7, 3, 7], 1e5)
    assert pictures["of"] == {"3": 0, "7": 1}
    assert pictures["count"] == 2
    assert place_pictures(street_map, [], 1e5) is None
    assert place_pictures(street_map, [1], 0) is None
