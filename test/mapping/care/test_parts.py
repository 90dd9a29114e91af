"""Places of several maps in one: every array follows its place, and memory takes a block at a time."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.map_writer import writing_map
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import WIDTH, made_map, unit

_JOINT = Pose.from_xyz_yaw(100.0, 5.0, 1.0, yaw=np.pi / 2)


def _map(
    folder: Path, count: int, seed: int, dimension: int = 0, images: bool = True, model: str = "net@1"
) -> PlaceMap:
    rows = unit(np.random.default_rng(seed).standard_normal((count, WIDTH)))
    jpegs = [f"{seed} {row}".encode() for row in range(count)] if images else None
    return made_map(folder, rows, None, dimension, jpegs, model, 1000 * seed)


def test_every_array_follows_its_place(tmp_path: Path) -> None:
    one, other = _map(tmp_path / "one", 6, 1), _map(tmp_path / "other", 5, 2)
    rows = np.array([4, 0, 3])
    joined = write_parts([Part.of(one), Part.of(other, rows, _JOINT)], tmp_path / "new", "test", 0)
    assert joined.names == [*one.names, "other/4", "other/0", "other/3"]
    assert joined.images is not None
    assert list(joined.images)[6:] == [b"2 4", b"2 0", b"2 3"]
    np.testing.assert_array_equal(joined.stamps[6:], [2004, 2000, 2003])
    np.testing.assert_array_equal(joined.sessions, [0] * 6 + [1] * 3)
    np.testing.assert_array_equal(
        joined.descriptors[:], np.vstack([one.descriptors[:], other.descriptors[rows]])
    )
    np.testing.assert_allclose(joined.poses[6:, :3], [[100, 13, 1], [100, 5, 1], [100, 11, 1]], atol=1e-12)
    assert Pose(joined.poses[6, :3], joined.poses[6, 3:]).yaw == pytest.approx(np.pi / 2)
    assert [drive["name"] for drive in joined.drives] == ["one", "other"]
    assert [drive["map_id"] for drive in joined.drives] == [one.header.map_id, other.header.map_id]
    assert joined.header.history == [{"operation": "test", "maps": [one.header.map_id, other.header.map_id]}]
    assert joined.header.version == 3


def test_sessions_and_history_go_on(tmp_path: Path) -> None:
    maps = [_map(tmp_path / name, 4, seed) for seed, name in enumerate("abc")]
    two = write_parts([Part.of(maps[0]), Part.of(maps[1])], tmp_path / "two", "first", 0)
    three = write_parts([Part.of(maps[2]), Part.of(two)], tmp_path / "three", "second", 0)
    assert [drive["name"] for drive in three.drives] == ["c", "a", "b"]
    assert [step["operation"] for step in three.header.history] == ["first", "second"]
    left = write_parts([Part.of(three, np.flatnonzero(three.sessions != 1))], tmp_path / "left", "third", 0)
    assert [drive["name"] for drive in left.drives] == ["c", "b"], "a session without places is gone"
    np.testing.assert_array_equal(left.sessions, [0] * 4 + [1] * 4)
    alone = write_parts([Part.of(three, np.arange(4))], tmp_path / "alone", "third", 0)
    assert [drive["name"] for drive in alone.drives] == ["c"]
    assert not (alone.path / "sessions.npy").exists()


def test_reduced_maps_are_reduced_together(tmp_path: Path) -> None:
    whole = [_map(tmp_path / f"whole{seed}", 40, seed) for seed in (1, 2)]
    reduced = [_map(tmp_path / f"reduced{seed}", 40, seed, dimension=24) for seed in (1, 2)]
    joined = write_parts([Part.of(each) for each in reduced], tmp_path / "joined", "test", 0)
    assert joined.directions is not None
    expected = np.vstack([each.whole_descriptors() for each in reduced])
    np.testing.assert_allclose(joined.whole_descriptors(), expected, atol=3e-3)
    mixed = write_parts([Part.of(reduced[0]), Part.of(whole[1])], tmp_path / "mixed", "test", 40)
    assert mixed.header.stored_dimension == 40
    found = mixed.whole_descriptors()
    assert np.abs((found[40:] * whole[1].descriptors[:]).sum(axis=1) - 1).max() < 0.2
    few = write_parts([Part.of(reduced[0], np.arange(5))], tmp_path / "few", "test", 512)
    assert few.header.stored_dimension <= 5, "directions of more places than there are would be wasted"
    np.testing.assert_allclose(few.whole_descriptors(), reduced[0].whole_descriptors(slice(5)), atol=3e-3)
    most = write_parts([Part.of(reduced[0], np.arange(30))], tmp_path / "most", "test", 512)
    np.testing.assert_array_equal(most.descriptors[:], reduced[0].descriptors[:30])
    np.testing.assert_array_equal(most.directions, reduced[0].directions)


def test_descriptors_are_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = _map(tmp_path / "one", 30, 1), _map(tmp_path / "other", 30, 2)
    asked = []
    whole = PlaceMap.whole_descriptors

    def counted(self: PlaceMap, rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr("netvlad_core.mapping.map_writer._BLOCK", 8)
    monkeypatch.setattr(PlaceMap, "whole_descriptors", counted)
    joined = write_parts([Part.of(one), Part.of(other)], tmp_path / "new", "test", 0)
    assert max(asked) <= 8
    np.testing.assert_array_equal(
        joined.descriptors[:], np.vstack([one.descriptors[:], other.descriptors[:]])
    )


def test_what_not_all_have_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = _map(tmp_path / "one", 4, 1), _map(tmp_path / "other", 4, 2, images=False)
    with caplog.at_level(logging.WARNING):
        joined = write_parts([Part.of(one), Part.of(other)], tmp_path / "new", "test", 0)
    assert joined.images is None
    assert "images are dropped" in caplog.text


def test_other_models_and_inputs_as_output_are_refused(tmp_path: Path) -> None:
    one, other = _map(tmp_path / "one", 4, 1), _map(tmp_path / "other", 4, 2, model="net@2")
    before = {path: path.read_bytes() for path in one.path.iterdir()}
    with pytest.raises(MapError, match=r"net@1.*net@2"):
        write_parts([Part.of(one), Part.of(other)], tmp_path / "new", "test", 0)
    for output in (one.path, one.path / "new"):
        with pytest.raises(MapError, match="choose another output"):
            write_parts([Part.of(one)], output, "test", 0)
    with pytest.raises(MapError, match="no place is left"):
        write_parts([Part.of(one, np.arange(0))], tmp_path / "new", "test", 0)
    assert {path: path.read_bytes() for path in one.path.iterdir()} == before
    assert not (tmp_path / "new").exists()


def test_network_goes_with_the_map_that_holds_one(street_map: PlaceMap, tmp_path: Path) -> None:
    folder = tmp_path / "with"
    header = replace(street_map.header, weights=None)
    with writing_map(folder, header) as new:
        for name in street_map.header.files:
            (new / name).write_bytes((street_map.path / name).read_bytes())
        (new / "model.safetensors").write_bytes(street_map.network_path.read_bytes())
    joined = write_parts([Part.of(street_map), Part.of(PlaceMap.open(folder))], tmp_path / "new", "test", 0)
    assert joined.header.weights is None
    assert joined.open_extractor(device="cpu").model_id == street_map.header.model_id


def test_each_drive_keeps_its_own_camera(tmp_path: Path) -> None:
    def camera(focal: float) -> Camera:
        matrix = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
        return Camera(640, 480, matrix, "", np.zeros(0), Pose.identity())

    rows = unit(np.random.default_rng(0).standard_normal((4, WIDTH)))
    lenses = {"wide": camera(300.0), "none": None, "long": camera(900.0)}
    maps = [made_map(tmp_path / name, rows, camera=lens) for name, lens in lenses.items()]
    joined = write_parts([Part.of(place_map) for place_map in maps], tmp_path / "new", "merge", 0)
    assert (joined.header.version, joined.camera, joined.has_camera) == (4, None, True)
    found = [joined.camera_of(place) for place in (0, 5, 11)]
    assert [None if lens is None else lens.focal_length for lens in found] == [300.0, None, 900.0]
    again = write_parts([Part.of(joined, np.arange(8, 12))], tmp_path / "long_only", "split", 0)
    assert again.cameras == ()
    assert again.camera is not None
    assert again.camera.focal_length == 900.0
    (joined.path / "cameras.json").write_text("[null]\n")
    with pytest.raises(MapError, match="cameras"):
        PlaceMap.open(joined.path)
