"""`netvlad map redescribe`: both models are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_redescribe(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "5", "--device", "cpu", "--output", str(tmp_path / "new"), "--quiet", "--json"]
    assert main(["map", "redescribe", str(street_map.path), *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model_before"] == street_map.header.model_id
    assert told["model_id"] == PlaceMap.open(tmp_path / "new").header.model_id != told["model_before"]
    assert told["places"] == 40
