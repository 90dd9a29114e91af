"""`netvlad map split`."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_split(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["map", "split", str(street_map.path), "--output", str(tmp_path / "part")]
    assert main([*arguments, "--area", "-1", "-1", "20.5", "1"]) == 0
    assert len(PlaceMap.open(tmp_path / "part")) == 11
    assert main([*arguments, "--session", "map"]) == 0
    assert len(PlaceMap.open(tmp_path / "part")) == 40
    assert main([*arguments, "--session", "night"]) == 1
    assert "no session 'night'" in capsys.readouterr().err
