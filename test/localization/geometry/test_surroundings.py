"""Which places are searched together."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.localization.geometry.surroundings import around
from netvlad_core.mapping.place_geometry import PlaceGeometry
from netvlad_core.mapping.places import Places
from support.scene import CAMERA, look, scattered


def _geometry(at: list[Pose]) -> PlaceGeometry:
    """Places that all see the same points from another position, where half of the points are known."""
    found = look(scattered(60), Pose.identity())
    points = np.where(np.arange(len(found))[:, None] % 2, np.nan, [10.0, 1.0, 2.0])
    poses = np.array([[*pose.position, *pose.quaternion] for pose in at])
    places = Places(np.zeros((len(at), 1), np.float32), np.arange(len(at)), poses, CAMERA)
    places.features = StoredFeatures("rootsift", [PackedFeatures(found, points).pack()] * len(at))
    return PlaceGeometry(places)


def test_points_of_near_places_that_look_the_same_way_are_taken() -> None:
    near = [Pose.from_xyz_yaw(x, 0.0) for x in (1000.0, 1003.0, 1006.0)]
    geometry = _geometry([*near, Pose.from_xyz_yaw(1001.0, 0.0, yaw=2.0), Pose.from_xyz_yaw(1030.0, 0.0)])
    scene = around(geometry, 1, [1])
    assert len(scene.ends) == 3
    assert len(scene) == scene.ends[-1] == len(scene.descriptors)
    assert sorted(set((scene.points[:, 0] + scene.origin[0]).round().tolist())) == [1010.0, 1013.0, 1016.0]
    np.testing.assert_allclose(scene.up, (0, 0, 1), atol=1e-12)
    assert scene.tilt == pytest.approx(0, abs=1e-9)
    assert scene.rise == 0


def test_places_of_another_drive_are_taken_where_they_match() -> None:
    far = [Pose.from_xyz_yaw(100.0 + 5 * i, 50.0) for i in range(20)]
    geometry = _geometry([Pose.from_xyz_yaw(0.0, 0.0), *far, *far, Pose.from_xyz_yaw(2.0, 0.0, 0.4)])
    assert len(around(geometry, 0, [0]).ends) == 1
    both = around(geometry, 0, [0, 41])
    assert len(both.ends) == 2
    assert both.rise == pytest.approx(0.2)
