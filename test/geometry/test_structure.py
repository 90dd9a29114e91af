"""Points from places whose poses are known."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.structure import View, triangulate
from support.scene import CAMERA, look, scattered

# A map far from its origin, turned.
_MAP = Pose.from_xyz_yaw(5000.0, -3000.0, 20.0, yaw=1.0)
_POINTS = _MAP.rotation.apply(scattered(300)) + _MAP.position
_PLACES = [_MAP @ Pose.from_xyz_yaw(x, 0.0) for x in (0.0, 2.0, -2.0, 4.0)]


def _views(noise: float) -> list[View]:
    return [
        View(look(_POINTS, pose, noise, seed=seed), CAMERA, pose)
        for seed, pose in enumerate(_PLACES, start=1)
    ]


def test_points_are_where_they_are() -> None:
    place, *others = _views(noise=0.0)
    found = triangulate(place, others)
    exact = {row.tobytes(): point for row, point in zip(*_descriptors_and_points())}
    errors = [
        np.linalg.norm(found[row] - exact[place.features.descriptors[row].tobytes()])
        for row in np.flatnonzero(np.isfinite(found[:, 0]))
    ]
    assert len(errors) > 100
    assert np.max(errors) < 0.05


def _descriptors_and_points() -> tuple[np.ndarray, np.ndarray]:
    place = look(_POINTS, _PLACES[0])
    everything = np.random.default_rng(99).normal(size=(len(_POINTS), 128))
    everything /= np.linalg.norm(everything, axis=1, keepdims=True)
    rows = [int(np.argmax(everything.astype(np.float32) @ d)) for d in place.descriptors]
    return place.descriptors, _POINTS[rows]


def test_views_from_one_point_give_no_points() -> None:
    place = _views(noise=0.0)[0]
    turned = Pose(_PLACES[0].position, (_PLACES[0].rotation * Rotation.from_euler("z", 0.0)).as_quat())
    assert np.isnan(triangulate(place, [View(look(_POINTS, turned), CAMERA, turned)])).all()
