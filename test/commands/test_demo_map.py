"""`netvlad demo-map`: a first success without ROS and torch, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap
from support.without_torch import COMMAND, without_torch


def test_the_drive_in_the_evening_is_found_on_the_map_of_noon_without_torch(tmp_path: Path) -> None:
    out = without_torch(COMMAND, "demo-map", tmp_path / "demo")
    assert f"\n$ netvlad build-map {tmp_path}/demo/noon/catalogue.csv --every-image --weights" in out
    found = out.partition("LOCALIZED at a correct place: ")[2].split()
    assert int(found[0]) == int(found[2]) > 15
    assert len(PlaceMap.open(tmp_path / "demo" / "map", verify=True)) == 43


def test_it_makes_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        assert main(["demo-map", str(path)]) == 1
        assert "expected the name of a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
