"""Matches compared by geometry: which place an image shows, and where exactly it was taken."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.geometry.local_features import LocalFeatures
from netvlad_core.localization.geometry.place_geometry import LOOKED_AT_IN_MAP, PlaceGeometry, fitting
from netvlad_core.localization.geometry.structure import FEWEST_POINTS, resect
from netvlad_core.localization.geometry.two_views import TwoViews, compare
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.pose_estimate import PosedMatch, PoseEstimate
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match, Places
from netvlad_core.settings import setting

# A place elsewhere with this share of the inliers could as well be the one. Chosen on the five sets of
# benchmarks/ladder.py.
_RIVAL = 0.5
_RESECTED = 3  # places tried for a metric pose: a bound of time, not tuned
# Without a calibration a place is accepted only if the scene appears at the same scale. The offset is then at
# most about a fifth of the scene's depth, some 5 m in a street.
_SAME_SCALE = 1.2
_UNKNOWN_DISTANCE = 5.0  # metres, standard deviation
_UNKNOWN_ROTATION = np.radians(10.0)  # standard deviation, not measured
# Weight of a match whose pose should have been measurable but was not. Look-alike houses also give inliers.
# Chosen on the five sets of benchmarks/ladder.py.
_UNMEASURED = 0.5


@dataclass(frozen=True)
class VerificationOptions:
    """When geometry confirms a place."""

    min_inliers: int = setting(
        30,
        "With verification: local features that must agree for a place to be confirmed.",
        8,
        10_000,
        name="min_inliers",
        source="chosen on the five sets of benchmarks/ladder.py; wrong pairs of real streets reach 34 "
        "inliers, so loop closures take 40",
    )
    most_places: int = setting(
        10,
        "Matches that are compared, best first; the others stay behind them.",
        1,
        1000,
        source="a bound of time: each costs some 14 ms, and 39 more if it is new "
        "(benchmarks/verification_speed.py)",
    )
    features: int = setting(
        1000,
        "Largest number of local features found in an image.",
        50,
        100_000,
        source="a bound of time: matching grows with its square; not tuned",
    )


@dataclass(frozen=True, eq=False)
class VerifiedMatch(PosedMatch):
    """A place that geometry confirms, and the pose of the image.

    Attributes
    ----------
    is_metric : whether the distance from the place is measured.
    is_near : whether the camera is at the place, and does not only see it from afar.
    """

    is_metric: bool
    is_near: bool


@dataclass(frozen=True, eq=False)
class _Query:
    """Features of an image, and the camera for images of its size, if it is calibrated."""

    features: LocalFeatures
    camera: Camera | None


@dataclass(frozen=True, eq=False)
class Seen:
    """What geometry says of an image.

    Attributes
    ----------
    matches : with their inliers, the best score first.
    confirmed : those with enough inliers.
    verified : the place that the image shows and where it was taken; None if no place is confirmed, if two
        distant places are, or if the pose should be measurable but is not.
    """

    matches: list[Match]
    confirmed: list[Match]
    verified: VerifiedMatch | None
    _verifier: Verifier
    _query: _Query
    _radius: float

    @cached_property
    def _trust(self) -> float:
        is_measured = self.verified is not None and self.verified.is_metric and self.verified.is_near
        is_sure = is_measured or not self._verifier.is_measurable(self._query, self.matches[0].place)
        return 1.0 if is_sure else _UNMEASURED

    @property
    def weights(self) -> dict[int, float]:
        """What geometry adds to the similarity of each place, in standard deviations of that."""
        return {match.place: self._trust * self._verifier.weight(match) for match in self.matches}

    @property
    def confidence(self) -> float:
        """Margin by which the best score exceeds those elsewhere, less if the pose should be measurable."""
        return self._trust * margin(self.matches, self._radius)


class Verifier:
    """Compares images with places.

    Parameters
    ----------
    places : with images.
    """

    def __init__(self, places: Places, options: VerificationOptions | None = None) -> None:
        self.options = options or VerificationOptions()
        self._places = places
        self._geometry = PlaceGeometry(places, self.options.features)

    @classmethod
    def of_map(cls, place_map: PlaceMap, options: VerificationOptions) -> Verifier:
        """Verifier of a stored map; raises MapError if the map has no images."""
        if place_map.header.store_images == "none":
            raise MapError(
                f"the map {place_map.path} keeps no images, so matches cannot be verified against it; build "
                "it with --store-images full"
            )
        verifier = cls(place_map, options)
        verifier._geometry.look_for_ego_mask(LOOKED_AT_IN_MAP)  # now, and not while the first image waits
        return verifier

    def with_options(self, options: VerificationOptions) -> Verifier:
        """The same places with other thresholds; what is known of them is kept if it stays true."""
        if options.features != self.options.features:
            if isinstance(self._places, PlaceMap):
                return Verifier.of_map(self._places, options)
            return Verifier(self._places, options)
        changed = copy(self)
        changed.options = options
        return changed

    def see(self, observation: Observation, matches: Sequence[Match], radius: float) -> Seen:
        """Compare an image with its matches.

        Parameters
        ----------
        observation : with local features.
        matches : best first.
        radius : metres; a camera further from the place is somewhere else, though it may see it.
        """
        assert observation.features is not None
        camera = fitting(observation.camera or self._places.camera, observation.features)
        query = _Query(observation.features, camera)
        ranked = self._rank(query, matches)
        confirmed = [match for match in ranked if match.inliers >= self.options.min_inliers]
        return Seen(ranked, confirmed, self._verify(query, ranked, confirmed, radius), self, query, radius)

    def _rank(self, query: _Query, matches: Sequence[Match]) -> list[Match]:
        compared, others = matches[: self.options.most_places], matches[self.options.most_places :]
        counted = [
            # A fundamental matrix is found in a tenth of the time of an essential one.
            replace(
                match, inliers=len(compare(query.features, self._geometry.features_of(match.place)).inliers)
            )
            for match in compared
        ]
        return [*sorted(counted, key=lambda match: -match.score), *others]

    def _verify(
        self, query: _Query, ranked: Sequence[Match], confirmed: Sequence[Match], radius: float
    ) -> VerifiedMatch | None:
        if not confirmed:
            return None
        best = confirmed[0]
        if any(match.inliers > _RIVAL * best.inliers for match in _elsewhere(ranked, best, radius)):
            return None
        for match in confirmed[:_RESECTED]:
            estimate = self._resect(query, match.place)
            if estimate is not None:
                pose, covariance = estimate.pose, estimate.covariance
                nearest = min(confirmed, key=lambda m: _distance(m, pose))
                is_near = _distance(nearest, pose) <= radius
                return VerifiedMatch(
                    pose, covariance, nearest.place, nearest.similarity, best.inliers, True, is_near
                )
        # Its points are known, and yet they do not agree: most such places are streets with the same houses.
        return None if self.is_measurable(query, best.place) else self._without_metres(query, best)

    def _without_metres(self, query: _Query, best: Match) -> VerifiedMatch | None:
        """The place itself."""
        if best.pose is None:
            return None
        covariance = np.diag(np.repeat([_UNKNOWN_DISTANCE**2, _UNKNOWN_ROTATION**2], 3))
        scale = self._compare(query, best.place).scale
        is_near = bool(abs(np.log(scale)) <= np.log(_SAME_SCALE))
        return VerifiedMatch(best.pose, covariance, best.place, best.similarity, best.inliers, False, is_near)

    def _compare(self, query: _Query, place: int) -> TwoViews:
        """Epipolar geometry of the query and a place."""
        geometry = self._geometry
        return compare(query.features, geometry.features_of(place), query.camera, geometry.camera_of(place))

    def _resect(self, query: _Query, place: int) -> PoseEstimate | None:
        """Metric pose of the query from points that the places around one have seen, if they agree."""
        if not self.is_measurable(query, place):
            return None
        assert query.camera is not None
        views = self._compare(query, place)
        return resect(self._geometry.points_of(place), views.inliers, query.features, query.camera)

    def is_measurable(self, query: _Query, place: int) -> bool:
        """Whether a query of this place would have a metric pose.

        Not without a calibration or poses, nor if the places around this one show few points from several
        sides: in a map that stands still, or of places far from each other.
        """
        places = self._places
        if query.camera is None or places.camera_of(place) is None or places.pose(place) is None:
            return False
        return len(self._geometry.points_of(place)) >= FEWEST_POINTS

    def weight(self, match: Match) -> float:
        """What a match's inliers are worth beside its similarity, in standard deviations of that.

        0 up to half of `min_inliers` (unrelated images reach that by chance), then ln 2 = 0.7 per doubling.
        """
        return float(np.log(max(1.0, 2 * match.inliers / self.options.min_inliers)))


def margin(ranked: Sequence[Match], radius: float) -> float:
    """By how much the score of the best match exceeds that of every match elsewhere."""
    best = ranked[0]
    return best.score - max((match.score for match in _elsewhere(ranked, best, radius)), default=0.0)


def _elsewhere(matches: Sequence[Match], best: Match, radius: float) -> list[Match]:
    """Matches of another part of the map than the best one's; without poses nobody knows.

    Two places within twice the radius may be within the radius of one camera, so they do not contradict.
    """
    pose = best.pose
    return [match for match in matches if pose is not None and _distance(match, pose) > 2 * radius]


def _distance(match: Match, pose: Pose) -> float:
    return np.inf if match.pose is None else float(np.linalg.norm(match.pose.position - pose.position))
