"""`netvlad map merge`: transforms are counted, and the outcome is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_merge_by_transform(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = str(street_map.path), tmp_path / "both"
    arguments = ["map", "merge", source, source, "--output", str(output), "--json"]
    assert main([*arguments, "--transform", "0 50 0 0 0 0 1"]) == 0
    assert json.loads(capsys.readouterr().out)["sessions"] == 2
    assert PlaceMap.open(output).poses[40, 1] == 50.0
    assert main([*arguments, *["--transform", "0 50 0 0 0 0 1"] * 2]) == 1
    assert "expected 1 transforms" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--transform", "0 50 0"])
    assert "expected x y z qx qy qz qw" in capsys.readouterr().err


def test_one_map_is_too_few(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["map", "merge", str(street_map.path), "--same-frame", "--output", str(tmp_path / "new")]
    assert main(arguments) == 1
    assert "two maps or more" in capsys.readouterr().err


def test_merge_of_one_street_finds_the_joint_itself(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = str(street_map.path), tmp_path / "both"
    assert main(["map", "merge", source, source, "--output", str(output), "--json", "--device", "cpu"]) == 0
    figures = json.loads(capsys.readouterr().out)["joint_of_map"]
    assert figures["agreeing"] > 10
    both = PlaceMap.open(output)
    assert np.abs(both.poses[:40, :3] - both.poses[40:, :3]).max() < 1.5


def test_merge_by_gps_needs_maps_that_know_where_they_are(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(street_map.path)
    assert main(["map", "merge", source, source, "--gps", "--output", str(tmp_path / "both")]) == 1
    assert "does not know where on earth it is" in capsys.readouterr().err
