"""`netvlad map export`: the ending of the output says what it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.place_map import PlaceMap
from support.bags import write_bag
from support.drives import COUNT, SECOND, START, pictures


def test_ending_or_format_says_what_it_becomes(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(name: str, *options: str) -> int:
        return main(["map", "export", str(street_map.path), "--output", str(tmp_path / name), *options])

    assert export("places.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["places"]) == ("csv", 40)
    assert export("places.txt", "--format", "tum") == 0
    assert len((tmp_path / "places.txt").read_text().splitlines()) == 42
    assert export("places.xyz") == 1
    assert "name one with --format" in capsys.readouterr().err
    assert export("model") == 1
    assert "keeps no calibration" in capsys.readouterr().err


def test_drives_with_gps_are_joined_and_exported_where_they_were(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two drives north, the second one a thousandth of a degree farther east."""
    for name, longitude in (("one", 11.5), ("other", 11.501)):
        fixes = [
            (START + i * SECOND, Pose.from_xyz_yaw(longitude, 48.1 + 4e-5 * i, 500.0))
            for i in range(COUNT + 1)
        ]
        bag = write_bag(tmp_path / f"{name}_bag", pictures(), fixes, pose_type="fix")
        built = ["--weights", str(checkpoint), "--device", "cpu", "--quiet", "--output", str(tmp_path / name)]
        assert main(["build-map", str(bag), *built]) == 0
    maps, both = [str(tmp_path / name) for name in ("one", "other")], tmp_path / "both"
    assert main(["map", "merge", *maps, "--gps", "--output", str(both)]) == 0
    assert main(["map", "info", str(both), "--json"]) == 0
    assert '"origin": [\n    48.1,\n    11.5,\n    500.0' in capsys.readouterr().out
    assert main(["map", "export", str(both), "--output", str(tmp_path / "both.geojson")]) == 0
    features = json.loads((tmp_path / "both.geojson").read_text())["features"]
    places = [f["geometry"]["coordinates"] for f in features if f["geometry"]["type"] == "Point"]
    assert [round(point[0], 6) for point in places] == [11.5] * COUNT + [11.501] * COUNT
    latitudes = [48.1 + 4e-5 * (i + 0.5) for i in range(COUNT)] * 2
    assert [point[1] for point in places] == pytest.approx(latitudes, abs=1e-7)
