"""A map that keeps its images gives them back as a drive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.map_header import IMAGES_FILE
from netvlad_core.mapping.map_source import MapSource, is_map
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, view, write_catalogue


def built(folder: Path, checkpoint: Path, store_images: str) -> PlaceMap:
    drive = write_catalogue(folder / "drive", street(seed=4, metres=30), (0, 5, 10))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images=store_images, store_features="none")
    return build_map(CatalogueSource.from_csv(drive), folder / "map", options, progress=False)


def test_frames_are_the_places(tmp_path: Path, checkpoint: Path) -> None:
    place_map = built(tmp_path, checkpoint, "full")
    assert is_map(place_map.path)
    assert not is_map(tmp_path / "drive")
    frames = list(MapSource.open(place_map.path))
    assert [frame.name for frame in frames] == place_map.names
    assert [frame.pose.position[0] for frame in frames if frame.pose] == [0, 5, 10]
    fronts = street(seed=4, metres=30)
    picture = frames[1].decode().astype(int)
    own, other = (np.abs(picture - view(fronts, x)).mean() for x in (5, 10))
    assert own < 0.5 * other, "but for JPEG the picture itself"


def test_map_without_images_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(SourceError, match="keeps no images; build it with --store-images full"):
        MapSource.open(built(tmp_path, checkpoint, "none").path)


def test_damage_is_named(tmp_path: Path, checkpoint: Path) -> None:
    place_map = built(tmp_path, checkpoint, "full")
    opened = list(MapSource.open(place_map.path))
    images = place_map.path / IMAGES_FILE
    size = images.stat().st_size
    with images.open("r+b") as file:
        file.write(bytes(size // 3))
    with pytest.raises(ImageError, match=rf"another program has changed the map .*{IMAGES_FILE}"):
        opened[0].decode()
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(SourceError, match=IMAGES_FILE):
        MapSource.open(place_map.path)
