"""Format 1 is read as before, and becomes format 2 without a change of its answers."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from netvlad_core import search
from netvlad_core.errors import MapError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping import upgrade as upgrade_module
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.upgrade import upgrade
from support.street import street, view


@pytest.fixture
def old_map(street_map: PlaceMap, tmp_path: Path) -> Path:
    """The map of the street as format 1 has it: float32, and a header without a sum of its own."""
    path = tmp_path / "campus"
    shutil.copytree(street_map.path, path)
    np.save(path / "descriptors.npy", np.asarray(street_map.descriptors, np.float32))
    header = json.loads((path / "map.json").read_text())
    content = (path / "descriptors.npy").read_bytes()
    header["files"]["descriptors.npy"] = {
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()
    }  # fmt: skip
    del header["stored_dimension"], header["sha256"]
    (path / "map.json").write_text(json.dumps({**header, "version": 1}))
    return path


def test_format_1_is_read(old_map: Path, street_map: PlaceMap) -> None:
    opened = PlaceMap.open(old_map, verify=True)
    assert (opened.header.version, opened.descriptors.dtype) == (1, np.float32)
    np.testing.assert_array_equal(opened.descriptors, street_map.descriptors)


@pytest.mark.parametrize(("dimension", "moved"), [(0, 2e-3), (32, 0.05)])
def test_answers_stay_what_they_are(dimension: int, moved: float, old_map: Path) -> None:
    images = [view(street(seed=4, metres=30), x) for x in (1.0, 7.0, 12.5)]
    before = [Localizer.open(old_map)(image) for image in images]
    upgraded = upgrade(old_map, dimension)
    assert (upgraded.header.version, upgraded.descriptors.dtype) == (2, np.float16)
    assert upgraded.descriptors.shape[1] == (dimension or upgraded.header.dimension)
    for image, expected in zip(images, before, strict=True):
        answer = Localizer.open(old_map)(image)
        assert (answer.state, answer.place) == (expected.state, expected.place)
        assert answer.confidence == pytest.approx(expected.confidence, abs=moved)


def test_whole_descriptors_come_back_from_a_reduced_map(old_map: Path) -> None:
    whole = np.array(PlaceMap.open(old_map).descriptors)
    reduced = upgrade(old_map, len(whole) - 1)
    assert reduced.directions is not None
    similarity = (reduced.whole_descriptors() * whole).sum(axis=1)
    assert np.median(similarity) > 0.99


def test_changed_header_is_refused(street_map: PlaceMap, tmp_path: Path) -> None:
    shutil.copytree(street_map.path, tmp_path / "map")
    header = tmp_path / "map" / "map.json"
    header.write_text(header.read_text().replace('"frame_id": "', '"frame_id": "other_'))
    with pytest.raises(MapError, match="content has changed since it was written"):
        PlaceMap.open(tmp_path / "map")


def test_damaged_old_map_is_left_alone(old_map: Path) -> None:
    content = (old_map / "poses.npy").read_bytes()
    (old_map / "poses.npy").write_bytes(content[:-8])
    with pytest.raises(MapError, match=r"poses\.npy has"):
        upgrade(old_map, 0)
    assert (old_map / "poses.npy").read_bytes() == content[:-8]


def test_exported_files_stay_with_the_map(old_map: Path) -> None:
    (old_map / "model.int8.onnx").write_bytes(b"exported later")
    upgraded = upgrade(old_map, 0)
    assert (upgraded.path / "model.int8.onnx").read_bytes() == b"exported later"


def test_large_map_gets_an_index_and_a_damaged_one_is_replaced(
    old_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    for module in (search, upgrade_module):
        monkeypatch.setattr(module, "EXACT_UP_TO", 10)
    reduced = upgrade(old_map, 16)
    assert reduced.index_path is not None
    answer = Localizer.open(old_map)(view(street(seed=4, metres=30), 7.0))
    reduced.index_path.write_bytes(b"damaged")
    assert PlaceMap.open(old_map, verify=True).index_path is None
    repaired = upgrade(old_map, 8)
    assert repaired.index_path is not None
    assert repaired.header.stored_dimension == 16, "a reduced map is not reduced again"
    assert Localizer.open(old_map)(view(street(seed=4, metres=30), 7.0)).place == answer.place
