"""`netvlad map`: what it did, and that a second time changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_upgrade_says_what_it_saved(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campus"
    shutil.copytree(street_map.path, path)
    whole = street_map.whole_descriptors()
    assert main(["map", "upgrade", str(path), "--dimension", "16"]) == 0
    places, dimension = whole.shape
    assert f"{dimension} -> 16 numbers a place" in capsys.readouterr().out
    upgraded = PlaceMap.open(path, verify=True)
    assert upgraded.descriptors.shape == (places, 16)
    np.testing.assert_array_equal(upgraded.poses, street_map.poses)
    assert main(["map", "upgrade", str(path), "--dimension", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == told["bytes_before"], "a second time changes nothing"
    assert PlaceMap.open(path).header == upgraded.header


def test_what_is_no_map_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "upgrade", str(tmp_path)]) == 1
    assert "map.json is missing" in capsys.readouterr().err
