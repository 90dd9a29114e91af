"""`netvlad map info` tells people and programs what is in a map."""

from __future__ import annotations

import json

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_info_for_people_and_programs(street_map: PlaceMap, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "info", str(street_map.path)]) == 0
    text = capsys.readouterr().out
    assert street_map.header.map_id in text
    assert "x 0 to 78" in text
    assert main(["map", "info", str(street_map.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["places"] == 40
