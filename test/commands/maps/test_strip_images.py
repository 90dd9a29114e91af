"""`netvlad map strip-images`."""

from __future__ import annotations

from pathlib import Path

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap


def test_strip_images(street_map: PlaceMap, tmp_path: Path) -> None:
    assert main(["map", "strip-images", str(street_map.path), "--output", str(tmp_path / "private")]) == 0
    assert PlaceMap.open(tmp_path / "private").images is None
