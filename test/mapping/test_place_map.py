"""A map that is not whole, or not of this model, is refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.errors import MapError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture
def map_copy(street_map: PlaceMap, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street_map.path, tmp_path / "map"))


def test_map_is_whole(street_map: PlaceMap) -> None:
    opened = PlaceMap.open(street_map.path, verify=True)
    np.testing.assert_allclose(np.linalg.norm(opened.descriptors, axis=1), 1, atol=1e-3)


def test_truncated_descriptors_are_named(map_copy: Path) -> None:
    path = map_copy / "descriptors.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MapError, match=r"descriptors\.npy has \d+ bytes instead of"):
        PlaceMap.open(map_copy)


def test_missing_file_is_named(map_copy: Path) -> None:
    (map_copy / "poses.npy").unlink()
    with pytest.raises(MapError, match=r"poses\.npy is missing"):
        PlaceMap.open(map_copy)


def test_changed_content_is_named(map_copy: Path) -> None:
    path = map_copy / "stamps.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(MapError, match=r"stamps\.npy has changed"):
        PlaceMap.open(map_copy)


@pytest.mark.parametrize("version", [99, [], None, "2"])
def test_other_format_version_is_refused(version: object, map_copy: Path) -> None:
    header = map_copy / "map.json"
    values = json.loads(header.read_text())
    header.write_text(json.dumps({**values, "version": version}))
    with pytest.raises(MapError, match="has format version"):
        PlaceMap.open(map_copy)


@pytest.mark.parametrize("name", ["map_id", "spacing", "skipped", "colour"])
def test_field_that_is_missing_or_unknown_is_named(map_copy: Path, name: str) -> None:
    header = map_copy / "map.json"
    values = json.loads(header.read_text())
    if values.pop(name, None) is None:
        values[name] = "red"
    header.write_text(json.dumps(values))
    with pytest.raises(MapError, match=f"lacks fields or has unknown ones: {name}"):
        PlaceMap.open(map_copy)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "something else"}'])
def test_header_that_is_none_is_refused(map_copy: Path, content: str) -> None:
    (map_copy / "map.json").write_text(content)
    with pytest.raises(MapError, match=r"map\.json"):
        PlaceMap.open(map_copy)


def test_other_weights_are_refused_with_both_fingerprints(
    street_map: PlaceMap, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_checkpoint(checkpoint)
    network.netvlad.centroids.data += 0.01
    other = tmp_path / "other.safetensors"
    other_id = save_checkpoint(network, other)
    with pytest.raises(MapError) as refused:
        Localizer.open(street_map.path, other)
    assert street_map.header.model_id in str(refused.value)
    assert other_id in str(refused.value)
    arguments = [
        "localize",
        str(street_map.path),
        str(tmp_path),
        "--weights",
        str(other),
        "--output",
        "x.csv",
    ]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert street_map.header.model_id in error
    assert other_id in error
