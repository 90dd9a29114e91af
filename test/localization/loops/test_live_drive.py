"""A drive that goes on finds its returns and is written as a map at any time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.geometry.features import KINDS
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.loops.live_drive import LiveDrive
from netvlad_core.localization.loops.loop_options import VERIFICATION, LoopClosureOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.upgrade import upgrade
from support import street

_SECOND = 10**9
_OPTIONS = LoopClosureOptions(min_time=5.0, min_way=20.0)
_COUNT = 16


def _image(number: int) -> np.ndarray:
    return street.view(street.street(seed=0, metres=100), 5.0 * number)


def _drive(drive: LiveDrive, first: int = 0) -> list:
    """Drive along the street once, an image every five metres."""
    return [
        drive.add(_image(number), (1 + first + number) * _SECOND, Pose.from_xyz_yaw(5.0 * number, 0.0))
        for number in range(_COUNT)
    ]


@pytest.fixture(scope="module")
def one_lap() -> LiveDrive:
    drive = LiveDrive.open(_OPTIONS, device="cpu")
    _drive(drive)
    return drive


def test_keyframes_are_numbered_and_wanted_where_the_robot_has_moved(one_lap):
    assert not one_lap.wants(Pose.from_xyz_yaw(5.0 * (_COUNT - 1) + 0.1, 0.0))
    assert one_lap.wants(Pose.from_xyz_yaw(5.0 * _COUNT, 0.0))
    assert one_lap.closer.next_id == _COUNT


def test_saved_drive_is_a_map_that_finds_its_images(one_lap, tmp_path):
    one_lap.save(tmp_path / "map", "odom")
    saved = PlaceMap.open(tmp_path / "map", verify=True)
    assert (len(saved), saved.header.frame_id, saved.header.store_images) == (_COUNT, "odom", "none")
    np.testing.assert_allclose(saved.poses[:, 0], 5.0 * np.arange(_COUNT))
    assert Localizer.open(tmp_path / "map", device="cpu")(_image(7)).place == 7


def test_earlier_map_is_searched_and_extended(one_lap, tmp_path):
    one_lap.save(tmp_path / "map", "odom")
    drive = LiveDrive.open(_OPTIONS, tmp_path / "map", device="cpu")
    assert drive.earlier is not None
    with pytest.raises(MapError, match="no keyframe"):
        drive.save(tmp_path / "both", "other_odom")
    closures = [keyframe.closure for keyframe in _drive(drive, first=100) if keyframe.closure]
    assert closures
    assert all(abs(closure.from_id - (closure.to_id - _COUNT)) <= 1 for closure in closures)
    drive.save(tmp_path / "both", "other_odom")
    both = PlaceMap.open(tmp_path / "both", verify=True)
    assert (len(both), both.header.frame_id) == (2 * _COUNT, "odom")
    assert both.sessions.tolist() == [0] * _COUNT + [1] * _COUNT
    assert both.drives[0]["source"] == drive.earlier.header.source
    assert both.header.history == [{"operation": "extend", "maps": [drive.earlier.header.map_id]}]


def test_extended_map_keeps_as_few_numbers_as_the_earlier_one(one_lap, tmp_path):
    one_lap.save(tmp_path / "map", "odom")
    upgrade(tmp_path / "map", 12)
    drive = LiveDrive.open(_OPTIONS, tmp_path / "map", device="cpu")
    _drive(drive, first=100)
    with pytest.raises(MapError, match="the map of the earlier drive, which stays"):
        drive.save(tmp_path / "map", "odom")
    drive.save(tmp_path / "both", "odom")
    both = PlaceMap.open(tmp_path / "both", verify=True)
    assert both.descriptors.shape == (2 * _COUNT, 12)
    found = Localizer.open(tmp_path / "both", device="cpu")(_image(7)).matches
    assert found[0].place in (7, 7 + _COUNT), "two views of one place are one match"
    assert len({match.place % _COUNT for match in found}) == len(found)


def test_long_drive_is_saved_as_build_map_does(tmp_path):
    """More than 512 places keep 512 numbers each; descriptors as they might be, since images take long."""
    options = replace(_OPTIONS, min_time=1e5)
    drive = LiveDrive.open(options, device="cpu")
    described = np.random.default_rng(0).standard_normal((600, drive.observer.extractor.dimension))
    described = (described / np.linalg.norm(described, axis=1, keepdims=True)).astype(np.float32)
    for number, descriptor in enumerate(described):
        pose = Pose.from_xyz_yaw(5.0 * number, 0.0)
        drive.closer.add(Observation(number * _SECOND, descriptor, pose))
    drive.save(tmp_path / "map", "odom")
    saved = PlaceMap.open(tmp_path / "map", verify=True)
    assert (saved.descriptors.shape, saved.header.dimension) == ((600, 512), described.shape[1])
    similarities = np.asarray(saved.descriptors, np.float32) @ saved.reduced(described[7:8])[0]
    assert similarities.argmax() == 7


def test_another_drive_begins_with_the_next_number_and_nothing_to_save(tmp_path):
    drive = LiveDrive.open(replace(_OPTIONS, min_time=1e5), device="cpu")
    assert drive.add(_image(0), _SECOND, Pose.identity()).number == 0
    drive.reset()
    with pytest.raises(MapError, match="no keyframe"):
        drive.save(tmp_path / "map", "odom")
    assert drive.add(_image(0), 2 * _SECOND, Pose.identity()).number == 1
    assert len(drive.closer) == 1


def test_verified_drive_takes_the_features_that_maps_get(features_map):
    verified = replace(_OPTIONS, verification=VERIFICATION)
    assert LiveDrive.open(_OPTIONS, device="cpu").observer.features == 0
    observer = LiveDrive.open(verified, device="cpu").observer
    assert (observer.kind, observer.features) == ("xfeat", KINDS["xfeat"].stored)
    after = LiveDrive.open(verified, features_map.path, device="cpu").observer
    assert (after.kind, after.features) == ("rootsift", VERIFICATION.features)


def test_folder_that_is_no_map_is_left_alone(one_lap, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").touch()
    with pytest.raises(MapError, match="left alone"):
        one_lap.save(tmp_path / "letters", "odom")
