"""`netvlad map prune` tells what it cost, and refuses what costs too much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_prune(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["map", "prune", str(street_map.path), "--output", str(tmp_path / "few"), "--json"]
    assert main([*arguments, "--places", "20"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["places_before"], values["places"]) == (40, 20)
    assert values["recall_before"] - values["recall_after"] <= 0.01
    assert main([*arguments, "--places", "2"]) == 1
    assert "with 2 of 40 places" in capsys.readouterr().err
    assert len(PlaceMap.open(tmp_path / "few")) == 20, "the map there stays"
