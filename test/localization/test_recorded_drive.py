"""A drive that is followed in a map is kept, in bounded memory, and the map learns from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.recorded_drive import RecordedDrive
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, view

_SECOND = 10**9
# The frame of the odometry lies elsewhere, and is turned.
_ODOMETRY = Pose.from_xyz_yaw(30.0, -5.0, yaw=2.0)


@pytest.fixture(scope="module")
def west(street_map: PlaceMap, tmp_path_factory: pytest.TempPathFactory) -> Localizer:
    """The first 60 m of a street."""
    folder = tmp_path_factory.mktemp("west") / "map"
    write_parts([Part.of(street_map, np.arange(30))], folder, "split", 0)
    return Localizer.open(folder, device="cpu")


def _followed(localizer: Localizer, most: int = 1000, metres: int = 80) -> RecordedDrive:
    """The whole street is driven, an image every metre, in two lights."""
    fronts, recorded = street(seed=1, metres=80), RecordedDrive(localizer.place_map, most)
    localizer.forget()
    for x in range(metres):
        image, odometry = view(fronts, float(x)), _ODOMETRY @ Pose.from_xyz_yaw(1.0001 * x, 0.0)
        answer = localizer.track(localizer.observe(image, (x + 1) * _SECOND, odometry))
        for _ in range(2):  # a robot that stands takes no second keyframe
            recorded.add(answer, image, odometry)
    return recorded


def test_local_features_of_the_map_are_those_of_the_drive_too(features_map: PlaceMap, tmp_path: Path) -> None:
    part = write_parts([Part.of(features_map, np.arange(30))], tmp_path / "west", "split", 0)
    recorded = _followed(Localizer.open(part.path, device="cpu"))
    extended = recorded.extend(tmp_path / "all", "odom").place_map
    assert extended.features is not None
    assert extended.features.rows[3] == features_map.features.rows[3]
    added = extended.stored_features(len(extended) - 1)
    assert len(added.features) > 50
    assert added.points is not None


def test_what_is_new_is_added_in_the_frame_of_the_map(west: Localizer, tmp_path: Path) -> None:
    recorded = _followed(west)
    assert len(recorded) == 80
    done = recorded.extend(tmp_path / "all", "odom")
    assert done.driven == 80
    all_places = PlaceMap.open(tmp_path / "all", verify=True)
    added = all_places.poses[30:]
    assert len(added) == done.added
    assert 20 <= done.added <= 30, "the 20 m that the map does not know, and little else"
    assert np.abs(added[-15:, 0] - np.arange(65, 80)).max() < 2
    assert all_places.images is not None
    image = all_places.image(len(all_places) - 1)
    assert image is not None
    assert np.abs(image.astype(float) - view(street(seed=1, metres=80), 79.0)).mean() < 20
    assert [drive["name"] for drive in all_places.drives] == ["map", "all"]
    assert all_places.header.model_id == west.place_map.header.model_id
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def test_memory_is_bounded(west: Localizer, tmp_path: Path) -> None:
    recorded = _followed(west, most=32)
    assert len(recorded) <= 32
    done = recorded.extend(tmp_path / "all", "odom")
    assert done.driven <= 32
    assert done.place_map.poses[:, 0].max() > 74


def test_too_little_is_refused(west: Localizer, tmp_path: Path) -> None:
    recorded = _followed(west, metres=3)
    with pytest.raises(MapError, match=r"this drive and .*map cannot be joined"):
        recorded.extend(tmp_path / "all", "odom")
    recorded.forget()
    with pytest.raises(MapError, match="no keyframe of this drive"):
        recorded.extend(tmp_path / "all", "odom")
    assert not list(tmp_path.iterdir())


def test_nothing_that_exists_is_replaced(west: Localizer, tmp_path: Path) -> None:
    recorded = _followed(west)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    for path in (west.place_map.path, tmp_path / "letters"):
        with pytest.raises(MapError, match="not there yet"):
            recorded.extend(path, "odom")
