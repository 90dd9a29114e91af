"""`netvlad map validate` lists what is wrong, and says so by its exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_faults_are_listed(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(shutil.copytree(street_map.path, tmp_path / "map"))
    assert main(["map", "validate", str(path), "--images", "all"]) == 0
    assert capsys.readouterr().out == f"{path}: whole\n"
    for name in ("stamps.npy", "poses.npy"):
        (path / name).write_bytes(b"")
    assert main(["map", "validate", str(path)]) == 1
    assert capsys.readouterr().out.count("has 0 bytes") == 2
    assert main(["map", "validate", str(path), "--json"]) == 1
    values = json.loads(capsys.readouterr().out)
    assert (values["is_whole"], len(values["faults"])) == (False, 2)
