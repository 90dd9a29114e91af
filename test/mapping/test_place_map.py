"""A map that is not whole, or not of this model, is refused by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.errors import CheckpointError, MapError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import describe_file
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.extractor import Extractor


@pytest.fixture
def map_copy(street_map: PlaceMap, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street_map.path, tmp_path / "map"))


def _describe_anew(folder: Path, name: str, **changes: Any) -> None:
    """Give a map a right sum of a file whose content is wrong."""
    header = MapHeader.read(folder / "map.json")
    files = {**header.files, name: describe_file(folder / name)}
    replace(header, files=files, **changes).write(folder / "map.json")


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


def test_descriptors_of_another_length_than_those_of_the_model_are_refused(
    map_copy: Path, extractor: Extractor
) -> None:
    """The index would refuse every image."""
    values = json.loads((map_copy / "map.json").read_text())
    np.save(map_copy / "descriptors.npy", np.ones((values["places"], 1), np.float16))
    _describe_anew(map_copy, "descriptors.npy", dimension=1, stored_dimension=1)
    opened = PlaceMap.open(map_copy, verify=True)
    with pytest.raises(MapError, match="1 numbers of a descriptor, but the model"):
        Localizer(opened, extractor)


@pytest.mark.parametrize("names", ["[]", '{"a": 1}', "5", "[" * 5000, '["a"]', "[1, 2]"])
def test_names_are_as_many_texts_as_places(names: str, map_copy: Path) -> None:
    (map_copy / "names.json").write_text(names)
    _describe_anew(map_copy, "names.json")
    with pytest.raises(MapError, match=r"names\.json"):
        PlaceMap.open(map_copy)


@pytest.mark.parametrize("ends", [[5, 3], [-1, 10], [1 << 62, 1 << 62]])
def test_ends_of_images_that_do_not_fit_are_refused(ends: list[int], map_copy: Path) -> None:
    stored = np.load(map_copy / "image_ends.npy")
    stored[:2] = ends
    np.save(map_copy / "image_ends.npy", stored)
    _describe_anew(map_copy, "image_ends.npy")
    with pytest.raises(MapError, match="do not fit"):
        PlaceMap.open(map_copy)


@pytest.mark.parametrize("name", ["poses.npy", "stamps.npy"])
def test_number_that_cannot_be_is_refused_although_its_sum_is_right(name: str, map_copy: Path) -> None:
    array = np.load(map_copy / name)
    array[7] = 0 if name == "poses.npy" else np.iinfo(np.int64).min  # no quaternion; before all clocks
    np.save(map_copy / name, array)
    _describe_anew(map_copy, name)
    with pytest.raises(MapError, match="place 7 has"):
        PlaceMap.open(map_copy)


def test_network_that_map_json_does_not_name_is_not_opened(map_copy: Path, checkpoint: Path) -> None:
    (map_copy / "model.safetensors").symlink_to(checkpoint)
    replace(MapHeader.read(map_copy / "map.json"), weights=None).write(map_copy / "map.json")
    with pytest.raises(CheckpointError, match="name its checkpoint"):
        PlaceMap.open(map_copy).open_extractor()


def test_map_that_another_program_overwrites_is_what_it_was_or_refused(
    map_copy: Path, checkpoint: Path
) -> None:
    opened = PlaceMap.open(map_copy)
    pose, stamp = opened.pose(3).position, opened.stamps[3]
    for path in map_copy.iterdir():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.write(bytes(len(content)))
    np.testing.assert_array_equal(opened.pose(3).position, pose)
    assert opened.stamps[3] == stamp
    for read in (lambda: opened.image(3), lambda: opened.descriptors[3], opened.whole_descriptors):
        with pytest.raises(MapError, match="another program has changed the map"):
            read()
    with pytest.raises(MapError):
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
