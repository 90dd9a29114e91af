"""Places in files of other programs, read back by their own readers or by the letter of the format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from netvlad_core.data.geodesy import east_north_up
from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import read_tum
from netvlad_core.errors import MapError, NetvladError
from netvlad_core.mapping.care.exports import export_file
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import WIDTH, made_map, straight, unit

_ORIGIN = [48.1, 11.5, 500.0]
_KML = "{http://www.opengis.net/kml/2.2}"


@pytest.fixture
def earthly(tmp_path: Path) -> PlaceMap:
    """Two drives of five places to the east, the second one 3 m north of the first; one has no pose."""
    rows = unit(np.random.default_rng(0).standard_normal((5, WIDTH)))
    poses = straight(rows, 2.0)
    poses[3] = np.nan
    maps = [
        made_map(tmp_path / name, rows, poses, origin=_ORIGIN, first_stamp=stamp * 10**9)
        for name, stamp in (("one", 1000), ("a & b", 10))
    ]
    parts = [Part.of(maps[0]), Part.of(maps[1], joint=Pose.from_xyz_yaw(0.0, 3.0))]
    return write_parts(parts, tmp_path / "map", "merge", 0)


def test_trajectory_is_in_the_order_of_time(earthly: PlaceMap, tmp_path: Path) -> None:
    done = export_file(earthly, tmp_path / "map.tum", "tum")
    assert (done.places, done.left_out) == (8, {"places without a pose": 2})
    read = read_tum(tmp_path / "map.tum")
    np.testing.assert_array_equal(read.stamps, np.sort(earthly.stamps[np.isfinite(earthly.poses[:, 0])]))
    np.testing.assert_allclose(read.positions[:4, 1], 3.0)


def test_table_has_every_place(earthly: PlaceMap, tmp_path: Path) -> None:
    assert export_file(earthly, tmp_path / "map.csv", "csv").places == 10
    with (tmp_path / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["session"] for row in rows] == ["one"] * 5 + ["a & b"] * 5
    assert (rows[3]["x"], rows[3]["latitude"], rows[4]["x"]) == ("", "", "8.000000000")
    degrees = np.array([[float(rows[9][name]) for name in ("latitude", "longitude", "height")]])
    np.testing.assert_allclose(east_north_up(degrees, np.array(_ORIGIN)), [[8, 3, 0]], atol=1e-3)


def test_geojson_is_where_the_places_are(earthly: PlaceMap, tmp_path: Path) -> None:
    export_file(earthly, tmp_path / "map.geojson", "geojson")
    content = json.loads((tmp_path / "map.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    assert {feature["type"] for feature in content["features"]} == {"Feature"}
    lines = [f for f in content["features"] if f["geometry"]["type"] == "LineString"]
    points = [f for f in content["features"] if f["geometry"]["type"] == "Point"]
    assert [line["properties"]["session"] for line in lines] == ["one", "a & b"]
    assert [point["id"] for point in points] == [0, 1, 2, 4, 5, 6, 7, 9]
    assert points[0]["properties"]["heading"] == 90.0
    assert points[0]["properties"]["time"] == "1970-01-01T00:16:40.000000000Z"
    longitude, latitude, height = points[-1]["geometry"]["coordinates"]
    found = east_north_up(np.array([[latitude, longitude, height]]), np.array(_ORIGIN))
    np.testing.assert_allclose(found, [[8, 3, 0]], atol=2e-3)
    assert lines[1]["geometry"]["coordinates"][-1] == points[-1]["geometry"]["coordinates"]


def test_kml_has_a_folder_for_each_drive(earthly: PlaceMap, tmp_path: Path) -> None:
    export_file(earthly, tmp_path / "map.kml", "kml")
    folders = ElementTree.parse(tmp_path / "map.kml").getroot().findall(f"{_KML}Document/{_KML}Folder")
    assert [folder.findtext(f"{_KML}name") for folder in folders] == ["one", "a & b"]
    marks = folders[1].findall(f"{_KML}Placemark")
    way = marks[0].findtext(f"{_KML}LineString/{_KML}coordinates") or ""
    points = [mark.findtext(f"{_KML}Point/{_KML}coordinates") or "" for mark in marks[1:]]
    assert way.split() == points
    longitude, latitude, height = map(float, points[-1].split(","))
    found = east_north_up(np.array([[latitude, longitude, height]]), np.array(_ORIGIN))
    np.testing.assert_allclose(found, [[8, 3, 0]], atol=2e-3)
    assert marks[1].findtext(f"{_KML}TimeStamp/{_KML}when") == "1970-01-01T00:00:10.000000000Z"


@pytest.mark.parametrize("kind", ["geojson", "kml"])
def test_map_that_is_nowhere_on_earth_is_refused(
    kind: str, earthly: PlaceMap, street_map: PlaceMap, tmp_path: Path
) -> None:
    with pytest.raises(MapError, match="does not know where on earth it is"):
        export_file(street_map, tmp_path / "map.out", kind)
    assert not (tmp_path / "map.out").exists()
    assert "latitude" in _head(earthly, tmp_path / "one.csv")
    assert "latitude" not in _head(street_map, tmp_path / "other.csv")


def _head(place_map: PlaceMap, path: Path) -> str:
    export_file(place_map, path, "csv")
    return path.read_text().splitlines()[0]


def test_files_of_others_and_the_map_stay(street_map: PlaceMap, tmp_path: Path) -> None:
    for kind in ("tum", "csv"):
        path = tmp_path / f"mine.{kind}"
        path.write_text("years of work\n")
        with pytest.raises(NetvladError, match="no earlier run has written it"):
            export_file(street_map, path, kind)
        path.unlink()
        for _ in range(2):  # an earlier export is replaced
            export_file(street_map, path, kind)
    with pytest.raises(MapError, match="lies in it"):
        export_file(street_map, street_map.path / "places.csv", "csv")


def test_map_without_poses_has_nothing_to_export(tmp_path: Path) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((5, WIDTH)))
    blind = made_map(tmp_path / "map", rows, np.full((5, 7), np.nan))
    with pytest.raises(MapError, match="has a pose"):
        export_file(blind, tmp_path / "map.tum", "tum")
