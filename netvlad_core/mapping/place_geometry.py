"""What geometry needs of the places: their local features without the robot, and points in metres."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import TypeVar

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import rotation_between
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.errors import CameraError
from netvlad_core.geometry.ego_mask import find_ego_mask, without
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures, find_features, no_features
from netvlad_core.geometry.structure import View, triangulate
from netvlad_core.mapping.places import Places

# Views to triangulate from: a smaller baseline gives no angle (0.5 m at 30 m of depth is one degree, the
# least parallax of `structure.py`), a longer one too few features that match. In the town by night the mean
# error of poses from right matches is 0.12 m with four views up to 6 m away, 0.08 m with these, and 0.09 m
# with ten up to 20 m away.
_NEAREST, _FURTHEST = 0.5, 12.0  # metres
_VIEWS = 8
_LARGEST_TURN = np.radians(30.0)  # half of a usual field of view; not tuned
# Rows of the map beside a place in which such views are looked for: 12 m at the usual keyframe distance.
_ROWS_AROUND = 12
# Images in which the ego mask is looked for: in a drive that goes on, while an image waits, and in a stored
# map, before the first image. Bounds of time.
_LOOKED_AT, LOOKED_AT_IN_MAP = 12, 24
_ANOTHER_SCENE = 2 * POSITIVE_WITHIN  # metres between places: one camera may be near both
# Places whose features (at most 270 MB) and points are kept: a drive asks for the same ones again.
_KEPT = 512

Content = TypeVar("Content")


class PlaceGeometry:
    """Local features and points of places, without those of the robot itself; found on demand and kept.

    Parameters
    ----------
    places : with stored features, or with images, full ones rather than thumbnails; with neither a place has
        no features.
    features : largest number of RootSIFT features in an image, if the places store none of any kind.
    """

    def __init__(self, places: Places, features: int = 0) -> None:
        self.places = places
        self.most_features = features
        self._features: OrderedDict[int, LocalFeatures] = OrderedDict()
        self._points: OrderedDict[int, np.ndarray] = OrderedDict()
        self._ego_mask = find_ego_mask([])
        self._looked_among = _LOOKED_AT // 2  # places
        # A map looks for the robot before its rows become whole. Those of an earlier map come first.
        self._masked = bisect_left(range(len(places)), True, key=lambda row: not self._is_whole(row))
        self._lock = RLock()  # a robot's images and a service's are verified by two threads

    def features_of(self, place: int) -> LocalFeatures:
        """Local features of a place's image, without those of the robot itself."""
        with self._lock:
            self.look_for_ego_mask()
            if place < self._masked:
                return _kept(self._features, place, lambda: self._find(place))
            return _kept(self._features, place, lambda: without(self._find(place), self._ego_mask))

    def points_of(self, place: int) -> np.ndarray:
        """Points that the image of a place shows: (N, 3) metres for its N features, NaN if unknown."""
        with self._lock:
            return _kept(self._points, place, lambda: self._find_points(place))

    def camera_of(self, place: int) -> Camera | None:
        """The camera of a place's image, for the size of that image."""
        return fitting(self.places.camera_of(place), self.features_of(place))

    def look_for_ego_mask(self, images: int = _LOOKED_AT) -> None:
        """Find in some images which parts show the robot; again when the places have doubled."""
        with self._lock:
            count = len(self.places) - self._masked
            if count < 2 * self._looked_among:
                return
            self._looked_among = count
            rows = (self._masked + np.linspace(0, count - 1, min(count, images)).astype(int)).tolist()
            seen = [(row, features) for row in rows if len(features := self._find(row))]
            ego_mask = find_ego_mask([
                (one, other)
                for gap in (len(seen) // 2, len(seen) // 3)
                for (row, one), (far, other) in zip(seen, [*seen[gap:], *seen[:gap]])
                if one.size == other.size and self._shows_another_scene(row, far)
            ])  # fmt: skip
            if (ego_mask != self._ego_mask).any():
                self._ego_mask = ego_mask
                self._features.clear()
                self._points.clear()

    def _find(self, place: int) -> LocalFeatures:
        stored = self.places.stored_features(place)
        if stored is not None:
            return stored.features
        image, kinds = self.places.image(place), self.places.features
        kind = "rootsift" if kinds is None else kinds.kind
        most = self.most_features if kinds is None else KINDS[kind].stored
        return no_features(kind) if image is None else find_features(image, most, kind)

    def _is_whole(self, place: int) -> bool:
        stored = self.places.stored_features(place)
        return stored is not None and stored.points is not None

    def _shows_another_scene(self, one: int, other: int) -> bool:
        a, b = self.places.pose(one), self.places.pose(other)
        return (
            one != other
            if a is None or b is None
            else float(np.linalg.norm(a.position - b.position)) > _ANOTHER_SCENE
        )

    def _find_points(self, place: int) -> np.ndarray:
        pose, stored = self.places.pose(place), self.places.stored_features(place)
        if stored is not None and stored.points is not None and pose is not None:
            return pose.rotation.apply(stored.points) + pose.position
        view = self._view(place)
        if view is None:
            return np.full((len(self.features_of(place)), 3), np.nan)
        return triangulate(view, [other for row in self._rows_beside(place) if (other := self._view(row))])

    def _rows_beside(self, place: int) -> np.ndarray:
        """Places beside one that look the same way from elsewhere, before it and behind it."""
        rows = np.arange(max(0, place - _ROWS_AROUND), min(len(self.places), place + _ROWS_AROUND + 1))
        poses = np.asarray(self.places.poses[rows])
        away = np.linalg.norm(poses[:, :3] - self.places.poses[place, :3], axis=1)
        turned = rotation_between(poses[:, 3:], self.places.poses[place, 3:])
        fits = (away >= _NEAREST) & (away <= _FURTHEST) & (turned <= _LARGEST_TURN)
        rows = rows[fits]
        return (
            rows[np.unique(np.linspace(0, len(rows) - 1, _VIEWS).round().astype(int))] if len(rows) else rows
        )

    def _view(self, place: int) -> View | None:
        camera, pose = self.camera_of(place), self.places.pose(place)
        return None if camera is None or pose is None else View(self.features_of(place), camera, pose)


def fitting(camera: Camera | None, features: LocalFeatures) -> Camera | None:
    """The camera for images of the features' size; None if it cannot have taken them."""
    try:
        return None if camera is None else camera.scaled_to(*features.size)
    except CameraError:
        return None


def _kept(store: OrderedDict[int, Content], key: int, make: Callable[[], Content]) -> Content:
    """The content of a key, made if it is missing; the least recently used one goes."""
    if key not in store:
        store[key] = make()
        if len(store) > _KEPT:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]
