"""Another network describes the images of a map; everything else stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.errors import MapError, SourceError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping import builder
from netvlad_core.mapping.builder import BuildOptions
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.redescribe import redescribe
from netvlad_core.mapping.care.split import strip_images
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, view

_FITTED = BuildOptions(device="cpu")


def test_places_and_sessions_stay_and_the_new_network_finds_them(
    street_map: PlaceMap, tmp_path: Path
) -> None:
    parts = [Part.of(street_map, np.arange(5, 30)), Part.of(street_map, np.arange(20, 40))]
    two = write_parts(parts, tmp_path / "two", "merge", 0)
    new = redescribe(two, tmp_path / "new", _FITTED, progress=False)
    assert new.header.model_id != two.header.model_id
    assert new.header.weights is None, "the network is in the map"
    for name in ("poses", "stamps", "sessions"):
        np.testing.assert_array_equal(getattr(new, name), getattr(two, name))
    assert (new.names, new.drives) == (two.names, two.drives)
    assert new.images is not None
    assert two.images is not None
    assert list(new.images) == list(two.images), "images are not encoded again"
    assert [step["operation"] for step in new.header.history] == ["merge", "redescribe"]
    assert new.header.history[-1]["maps"] == [two.header.map_id]
    found = Localizer.open(new.path, device="cpu")(view(street(seed=1, metres=80), 30.0)).matches[0]
    assert abs(new.poses[found.place, 0] - 30) <= 4


def test_descriptors_are_those_of_the_stored_images(
    street_map: PlaceMap, checkpoint: Path, tmp_path: Path
) -> None:
    new = redescribe(
        street_map, tmp_path / "new", BuildOptions(weights=checkpoint, device="cpu"), progress=False
    )
    assert (new.header.model_id, len(new)) == (street_map.header.model_id, 40)
    image = street_map.image(7)
    assert image is not None
    described = Localizer.open(new.path, device="cpu").extractor(image)[0]
    np.testing.assert_allclose(new.descriptors[7], described, rtol=1e-3, atol=1e-3)  # float16


def test_stopped_run_continues(
    street_map: PlaceMap, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BuildOptions(weights=checkpoint, device="cpu", batch_size=8)
    describe, described = builder.describe_frames, []

    def stopping(*arguments: Any) -> Iterator[Any]:
        for number, batch in enumerate(describe(*arguments)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    def counting(*arguments: Any) -> Iterator[Any]:
        for batch in describe(*arguments):
            described.extend(batch)
            yield batch

    monkeypatch.setattr(builder, "describe_frames", stopping)
    with pytest.raises(KeyboardInterrupt):
        redescribe(street_map, tmp_path / "new", options, progress=False)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(builder, "describe_frames", counting)
    new = redescribe(street_map, tmp_path / "new", options, progress=False)
    assert len(described) == 40 - 16
    assert len(new) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["new"], "no work is left"


def test_broken_images_are_counted_and_left_out(
    street_map: PlaceMap, checkpoint: Path, tmp_path: Path
) -> None:
    broken = write_parts([Part.of(street_map)], tmp_path / "broken", "split", 0)
    assert broken.images is not None
    images = [b"no JPEG" if row in (3, 4) else image for row, image in enumerate(broken.images)]
    broken.images = images
    new = redescribe(broken, tmp_path / "new", BuildOptions(weights=checkpoint, device="cpu"), progress=False)
    assert new.names == [name for row, name in enumerate(street_map.names) if row not in (3, 4)]
    assert sum(new.header.skipped.values()) == 2
    np.testing.assert_array_equal(new.image(3), street_map.image(5))


def test_what_cannot_be_done_is_refused(street_map: PlaceMap, checkpoint: Path, tmp_path: Path) -> None:
    options = BuildOptions(weights=checkpoint, device="cpu")
    private = strip_images(street_map, tmp_path / "private")
    with pytest.raises(SourceError, match="keeps no images"):
        redescribe(private, tmp_path / "new", options)
    copy = write_parts([Part.of(street_map)], tmp_path / "copy", "split", 0)
    with pytest.raises(MapError, match="choose another output"):
        redescribe(copy, copy.path, options)
