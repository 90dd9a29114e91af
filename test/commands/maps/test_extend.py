"""`netvlad map extend`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue


def test_extend(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(0, 80, 2), gain=0.25)
    output = tmp_path / "all"
    arguments = ["map", "extend", str(street_map.path), str(drive), "--output", str(output)]
    assert main([*arguments, "--name", "night", "--json", "--device", "cpu", "--quiet"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["keyframes"], values["sessions"]) == (40, 2)
    assert PlaceMap.open(output).drives[1]["name"] == "night"
