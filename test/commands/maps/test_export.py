"""`netvlad map export`: the ending of the output says what it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_ending_or_format_says_what_it_becomes(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(name: str, *options: str) -> int:
        return main(["map", "export", str(street_map.path), "--output", str(tmp_path / name), *options])

    assert export("places.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["places"]) == ("csv", 40)
    assert export("places.txt", "--format", "tum") == 0
    assert len((tmp_path / "places.txt").read_text().splitlines()) == 42
    assert export("places.xyz") == 1
    assert "name one with --format" in capsys.readouterr().err
    assert export("model") == 1
    assert "keeps no calibration" in capsys.readouterr().err
