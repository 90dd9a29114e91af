"""The places of a drive that goes on: images kept and thinned out, an earlier map before them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.geometry.packing import unpack
from netvlad_core.localization.loops.growing_map import GrowingMap
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.map_writer import write_places, writing_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap
from support.scene import CAMERA
from support.street import street, view, write_catalogue


def _image(shade: int) -> np.ndarray:
    return np.full((60, 80, 3), shade, np.uint8)


def _drive(rows: int, **options: object) -> GrowingMap:
    growing = GrowingMap(most=8, keeps_images=True, **options)
    for row in range(rows):
        if growing.is_full:
            growing.thin_out()
        pose = Pose.from_xyz_yaw(row, 0)
        growing.append(np.eye(4, dtype=np.float32)[row % 4], row, pose, _image(10 * row), distance=float(row))
    return growing


def test_images_stay_with_their_rows_when_every_second_one_goes() -> None:
    growing = _drive(10)
    assert len(growing) == 6
    assert growing.ids.tolist() == [0, 2, 4, 6, 8, 9]
    for row, number in enumerate(growing.ids):
        image = growing.image(row)
        assert image is not None
        assert abs(int(image[30, 40, 0]) - 10 * number) <= 2
        pose = growing.pose(row)
        assert pose is not None
        assert pose.position[0] == number == growing.distances[row]


def test_pose_stays_what_it_was_when_rows_go() -> None:
    growing = _drive(8)
    poses = [growing.pose(row) for row in range(8)]
    growing.thin_out()
    assert [pose.position[0] for pose in poses if pose is not None] == list(range(8))


def test_without_being_asked_no_image_is_kept() -> None:
    growing = GrowingMap(most=8)
    growing.append(np.ones(4, np.float32), 0, Pose.identity(), _image(1))
    assert growing.image(0) is None
    assert growing.keyframes(None).images is None


def test_drive_with_images_becomes_a_map_with_images(tmp_path: Path) -> None:
    growing = _drive(5)
    growing.camera = CAMERA
    kept = growing.keyframes(None)
    assert kept.images is not None
    assert kept.camera is CAMERA
    header = MapHeader(model_id="model@0", frame_id="odom", source="a drive", store_images="full")
    with writing_map(tmp_path / "map", header) as new:
        write_places(new, kept, ["a"] * 5)
    place_map = PlaceMap.open(tmp_path / "map", verify=True)
    for row in range(5):
        image = place_map.image(row)
        assert image is not None
        assert abs(int(image[30, 40, 0]) - 10 * row) <= 2


@pytest.mark.parametrize("stored", ["none", "full"])
def test_images_of_an_earlier_map_come_from_its_file(checkpoint: Path, tmp_path: Path, stored: str) -> None:
    fronts = street(seed=1, metres=20)
    catalogue = write_catalogue(tmp_path / "drive", fronts, range(0, 12, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images=stored, store_features="none")
    earlier = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "map", options, progress=False)
    growing = GrowingMap(most=50, earlier=earlier, keeps_images=True)
    growing.camera = CAMERA
    descriptor = np.zeros(earlier.header.dimension, np.float32)
    growing.append(descriptor, 0, Pose.identity(), view(fronts, 3.0))
    assert growing.first_of_drive == 3
    assert growing.camera_of(0) is None
    assert growing.camera_of(3) is CAMERA
    assert (growing.image(0) is None) == (stored == "none")
    assert np.linalg.norm(growing.poses[0, :3] - growing.poses[3, :3]) > 1e5
    both = growing.keyframes(Pose.identity())
    assert len(both.stamps) == 4
    assert (both.images is None) == (stored == "none")
    assert (both.camera, both.cameras) == (None, [None, CAMERA])


def test_earlier_map_stays_when_the_drive_is_full(checkpoint: Path, tmp_path: Path) -> None:
    """Even one of more places than the drive may have."""
    fronts = street(seed=1, metres=40)
    catalogue = write_catalogue(tmp_path / "drive", fronts, range(0, 40, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    earlier = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "map", options, progress=False)
    growing = GrowingMap(most=4, earlier=earlier)
    for step in range(7):
        if growing.is_full:
            growing.thin_out()
        descriptor = np.full(earlier.header.dimension, step, np.float32)
        growing.append(descriptor, step, Pose.from_xyz_yaw(step, 0), distance=float(step))
    assert growing.ids.tolist() == [*range(10), 10, 14, 16]
    assert growing.descriptors[10:][:, 0].tolist() == [0, 4, 6]
    np.testing.assert_array_equal(growing.descriptors[:10], earlier.whole_descriptors())
    assert [growing.image(row) is None for row in range(13)] == [False] * 10 + [True] * 3


def _features(row: int, kind: str = "xfeat", count: int = 30) -> LocalFeatures:
    random = np.random.default_rng(row)
    descriptors = random.standard_normal((count, KINDS[kind].dimension)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(random.uniform(1, 58, (count, 2)).astype(np.float32), descriptors, (80, 60), kind)


def test_local_features_stay_with_their_rows_and_go_into_the_map(tmp_path: Path) -> None:
    growing = GrowingMap(most=8)
    for row in range(10):
        if growing.is_full:
            growing.thin_out()
        growing.append(np.eye(4, dtype=np.float32)[row % 4], row, Pose.identity(), features=_features(row))
    assert growing.ids.tolist() == [0, 2, 4, 6, 8, 9]
    for row, number in enumerate(growing.ids.tolist()):
        stored = growing.stored_features(row)
        assert stored is not None
        assert stored.points is None, "nobody has looked for the robot yet"
        np.testing.assert_allclose(stored.features.points, _features(number).points, atol=0.01)
    assert growing.image(0) is None
    header = MapHeader(model_id="model@0", frame_id="odom", source="a drive")
    with writing_map(tmp_path / "map", header) as new:
        write_places(new, growing.keyframes(None), ["a"] * 6)
    saved = PlaceMap.open(tmp_path / "map", verify=True)
    assert saved.features is not None
    assert saved.features.kind == "xfeat"
    assert len(saved.stored_features(5).features) == 30
    growing = GrowingMap(most=8)
    growing.append(np.ones(4, np.float32), 10, Pose.identity(), features=_features(10, "rootsift", 900))
    assert len(growing.stored_features(0).features) == 900
    bounded = growing.keyframes(None).features
    assert len(unpack(bounded.rows[0], "rootsift").features) == KINDS["rootsift"].stored
    growing.append(np.ones(4, np.float32), 11, Pose.identity())
    assert growing.keyframes(None).features is None, "a map has those of all places or of none"


def test_features_of_an_earlier_map_come_from_its_file(features_map: PlaceMap, tmp_path: Path) -> None:
    growing = GrowingMap(most=50, earlier=features_map)
    descriptor = np.zeros(features_map.header.dimension, np.float32)
    growing.append(descriptor, 0, Pose.identity(), features=_features(0, "rootsift"))
    known, own = growing.stored_features(3), growing.stored_features(40)
    assert known is not None
    assert own is not None
    np.testing.assert_array_equal(
        known.features.descriptors, features_map.stored_features(3).features.descriptors
    )
    assert (known.points is None, own.points is None) == (False, True)
    both = growing.keyframes(Pose.identity())
    assert both.features is not None
    assert [both.features.rows[3], len(both.features)] == [features_map.features.rows[3], 41]
    other = GrowingMap(most=50, earlier=features_map)
    other.append(descriptor, 0, Pose.identity(), features=_features(0))
    assert other.stored_features(3) is None, "two kinds cannot be compared"
    assert other.keyframes(Pose.identity()).features is None
