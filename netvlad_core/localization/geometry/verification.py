"""Matches held against geometry: which places show the scene of the query, and where exactly it was taken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Protocol, TypeVar

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.errors import CameraError, MapError
from netvlad_core.localization.geometry.local_features import NO_FEATURES, LocalFeatures, find_features
from netvlad_core.localization.geometry.own_parts import find_own_parts, without
from netvlad_core.localization.geometry.structure import FEWEST_POINTS, Resection, View, resect, triangulate
from netvlad_core.localization.geometry.two_views import TwoViews, compare
from netvlad_core.localization.retrieval import Match
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.settings import setting

# Views to triangulate from: not so near that there is no angle, not so far that nothing matches.
_NEAREST, _FURTHEST = 0.5, 6.0  # metres
_VIEWS = 4
_LARGEST_TURN = np.radians(30.0)
# Rows of the map beside a place in which such views are looked for.
_ROWS_AROUND = 12
# Images in which the parts that show the robot are looked for: of places that grow in number while images
# wait, and of a map. Metres between two that show other scenes.
_LOOKED_AT, _LOOKED_AT_IN_MAP = 12, 24
_ELSEWHERE = 20.0
# Places whose features and points are kept; a drive asks for the same ones again and again.
_KEPT = 512

Content = TypeVar("Content")


@dataclass(frozen=True)
class VerificationOptions:
    """When geometry confirms a place."""

    min_inliers: int = setting(
        30,
        "With verification: local features that must agree for a place to be confirmed.",
        8,
        10_000,
        name="min_inliers",
    )
    most_places: int = setting(
        10, "Matches that are compared, best first; the others stay behind them.", 1, 1000
    )
    features: int = setting(1000, "Largest number of local features found in an image.", 50, 100_000)


@dataclass(frozen=True, eq=False)
class Query:
    """A query's features, found once, and its camera for images of this size, or None."""

    features: LocalFeatures
    camera: Camera | None


class Places(Protocol):
    """What images are held against: a map, or a drive that goes on.

    Attributes
    ----------
    camera : of the drive, or None where its calibration is not known.
    poses : (N, 7) float64, map <- base_link, x y z qx qy qz qw.
    """

    @property
    def camera(self) -> Camera | None: ...
    @property
    def poses(self) -> np.ndarray: ...
    def __len__(self) -> int: ...
    def pose(self, place: int, /) -> Pose | None: ...
    def image(self, place: int, /) -> np.ndarray | None: ...
    def camera_of(self, place: int, /) -> Camera | None: ...


class Verifier:
    """Compares images with places.

    What all images of the places show alike, the robot itself, is left out.

    Parameters
    ----------
    places : with images; full ones serve far better than thumbnails. One without an image has no features.
    """

    def __init__(self, places: Places, options: VerificationOptions | None = None) -> None:
        self.options = options or VerificationOptions()
        self._map = places
        self._features: OrderedDict[int, LocalFeatures] = OrderedDict()
        self._points: OrderedDict[int, dict[int, np.ndarray]] = OrderedDict()
        self._own_parts = find_own_parts([])
        self._looked_among = _LOOKED_AT // 2  # places
        self._lock = RLock()  # a robot's images and a service's are verified by two threads

    def query(self, features: LocalFeatures, camera: Camera | None = None) -> Query:
        """Prepare an image.

        Parameters
        ----------
        camera : that took it, None for the map's own; it may be calibrated for another size.
        """
        return Query(features, _fitting(camera or self._map.camera, features))

    def rank(self, query: Query, matches: Sequence[Match]) -> list[Match]:
        """Matches with their inliers, the best score first."""
        looked_at, others = matches[: self.options.most_places], matches[self.options.most_places :]
        counted = [
            # A fundamental matrix is found in a tenth of the time of an essential one.
            replace(match, inliers=len(compare(query.features, self._features_of(match.place)).inliers))
            for match in looked_at
        ]
        return [*sorted(counted, key=lambda match: -match.score), *others]

    def compare(self, query: Query, place: int) -> TwoViews:
        """Epipolar geometry of the query and a place."""
        features = self._features_of(place)
        return compare(query.features, features, query.camera, _fitting(self._map.camera_of(place), features))

    def confirms(self, match: Match) -> bool:
        return match.inliers >= self.options.min_inliers

    def weight(self, match: Match) -> float:
        """What a match's inliers are worth beside its similarity, in standard deviations of that.

        None up to half of `min_inliers`, which features of different places reach by accident; 0.7 more each
        time they double.
        """
        return float(np.log(max(1.0, 2 * match.inliers / self.options.min_inliers)))

    def is_measurable(self, query: Query, place: int) -> bool:
        """Whether a query of this place would have a metric pose.

        Not without a calibration or poses, nor where the places around this one show few points from several
        sides: in a map that stands still, or of places far from each other.
        """
        if query.camera is None or self._map.camera_of(place) is None or self._map.pose(place) is None:
            return False
        return len(self._points_of(place)) >= FEWEST_POINTS

    def resect(self, query: Query, place: int) -> Resection | None:
        """Metric pose of the query from points that the places around one have seen.

        None where it is not measurable, and where the query shows too few of the points.
        """
        if not self.is_measurable(query, place):
            return None
        assert query.camera is not None
        views = self.compare(query, place)
        return resect(self._points_of(place), views.inliers, query.features, query.camera)

    def _features_of(self, place: int) -> LocalFeatures:
        with self._lock:
            self.look_for_own_parts()
            return _kept(self._features, place, lambda: without(self._find(place), self._own_parts))

    def _find(self, place: int) -> LocalFeatures:
        image = self._map.image(place)
        return NO_FEATURES if image is None else find_features(image, self.options.features)

    def look_for_own_parts(self, most: int = _LOOKED_AT) -> None:
        """Find in so many images which parts show the robot; again, when the places have doubled."""
        with self._lock:
            count = len(self._map)
            if count < 2 * self._looked_among:
                return
            self._looked_among = count
            number = min(count, most)
            rows = np.linspace(0, count - 1, number).astype(int).tolist()
            seen = [(row, features) for row in rows if len(features := self._find(row))]
            own_parts = find_own_parts([
                (one, other)
                for gap in (len(seen) // 2, len(seen) // 3)
                for (row, one), (far, other) in zip(seen, [*seen[gap:], *seen[:gap]])
                if one.size == other.size and self._is_elsewhere(row, far)
            ])  # fmt: skip
            if (own_parts != self._own_parts).any():
                self._own_parts = own_parts
                self._features.clear()
                self._points.clear()

    def _is_elsewhere(self, one: int, other: int) -> bool:
        a, b = self._map.pose(one), self._map.pose(other)
        if a is None or b is None:
            return one != other
        return float(np.linalg.norm(a.position - b.position)) > _ELSEWHERE

    def _points_of(self, place: int) -> dict[int, np.ndarray]:
        with self._lock:
            return _kept(self._points, place, lambda: self._triangulate(place))

    def _triangulate(self, place: int) -> dict[int, np.ndarray]:
        view = self._view(place)
        others = [other for row in self._rows_beside(place) if (other := self._view(row)) is not None]
        return triangulate(view, others) if view is not None else {}

    def _rows_beside(self, place: int) -> np.ndarray:
        """Places beside one that look the same way from elsewhere, those with the largest angle first."""
        rows = np.arange(max(0, place - _ROWS_AROUND), min(len(self._map), place + _ROWS_AROUND + 1))
        poses = np.asarray(self._map.poses[rows])
        away = np.linalg.norm(poses[:, :3] - self._map.poses[place, :3], axis=1)
        turned = rotation_between(poses[:, 3:], self._map.poses[place, 3:])
        fits = (away >= _NEAREST) & (away <= _FURTHEST) & (turned <= _LARGEST_TURN)
        middle = (_NEAREST + _FURTHEST) / 2
        return rows[fits][np.argsort(np.abs(away[fits] - middle), kind="stable")][:_VIEWS]

    def _view(self, place: int) -> View | None:
        features, pose = self._features_of(place), self._map.pose(place)
        camera = _fitting(self._map.camera_of(place), features)
        return None if camera is None or pose is None else View(features, camera, pose)


def verifier_of(place_map: PlaceMap, options: VerificationOptions) -> Verifier:
    """Verifier of a map; raises MapError if the map has no images."""
    if place_map.header.store_images == "none":
        raise MapError(
            f"the map {place_map.path} keeps no images, so matches cannot be verified against it; build "
            "it with --store-images full"
        )
    verifier = Verifier(place_map, options)
    verifier.look_for_own_parts(_LOOKED_AT_IN_MAP)  # now, and not while the first image waits
    return verifier


def _fitting(camera: Camera | None, features: LocalFeatures) -> Camera | None:
    """The camera for images of the features' size; None where they cannot be of it."""
    try:
        return None if camera is None else camera.scaled_to(*features.size)
    except CameraError:
        return None


def _kept(store: OrderedDict[int, Content], key: int, make: Callable[[], Content]) -> Content:
    """The content of a key, made where it is missing; the one that was used longest ago goes."""
    if key not in store:
        store[key] = make()
        if len(store) > _KEPT:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]
