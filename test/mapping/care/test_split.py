"""Parts of a map: an area, a session, everything but the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.split import split_by_area, split_by_session, strip_images
from netvlad_core.mapping.place_map import PlaceMap


def test_area_takes_its_places(street_map: PlaceMap, tmp_path: Path) -> None:
    part = split_by_area(street_map, [30.0, 1.0, 10.0, -1.0], tmp_path / "part")
    np.testing.assert_array_equal(part.poses[:, 0], np.arange(10.0, 31.0, 2.0))
    np.testing.assert_array_equal(part.image(0), street_map.image(5))
    with pytest.raises(MapError, match="no place is left"):
        split_by_area(street_map, [500.0, 0.0, 600.0, 1.0], tmp_path / "none")


def test_session_goes_out_by_name(street_map: PlaceMap, tmp_path: Path) -> None:
    copy = strip_images(street_map, tmp_path / "copy")
    assert copy.drives == street_map.drives, "a map made from one keeps what is known of its drive"
    two = write_parts([Part.of(copy), Part.of(copy, np.arange(3))], tmp_path / "two", "merge", 0)
    assert len(split_by_session(two, ["map"], tmp_path / "both")) == 43, "sessions may share a name"
    with pytest.raises(MapError, match=r"no session 'night'; it has map, map"):
        split_by_session(two, ["night"], tmp_path / "none")


def test_images_are_gone_for_good(street_map: PlaceMap, tmp_path: Path) -> None:
    private = strip_images(street_map, tmp_path / "private")
    assert private.images is None
    assert private.header.store_images == "none"
    assert not {"images.bin", "image_ends.npy"} & {path.name for path in private.path.iterdir()}
    np.testing.assert_array_equal(private.descriptors[:], street_map.descriptors[:])
