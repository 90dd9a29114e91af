"""`netvlad fleet push` makes the store, and says what is there now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_push_twice(street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lancedb", reason="LanceDB is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    command = ["fleet", "push", str(street_map.path), "--store", str(tmp_path / "new" / "store"), "--json"]
    for is_new in (True, False):
        assert main([*command, "--site", "street"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["is_new"], told["newest_version"], told["waiting"]) == (is_new, 1, 0)
        assert (told["map_id"], told["places"]) == (street_map.header.map_id, 40)
    assert main([*command, "--site", "a/b"]) == 1
    assert "cannot be the name of a site" in capsys.readouterr().err
