"""Matches compared by geometry: which place an image shows, and where exactly it was taken."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures, match_features
from netvlad_core.geometry.two_views import TwoViews, common_features, compare, epipolar_inliers
from netvlad_core.localization.elsewhere import Elsewhere, distance
from netvlad_core.localization.geometry.resection import FEWEST_POINTS, resect
from netvlad_core.localization.geometry.seen import Seen, VerifiedMatch
from netvlad_core.localization.geometry.surroundings import around
from netvlad_core.localization.geometry.upright_pose import Fix, locate, margin
from netvlad_core.localization.geometry.verification_options import (
    HasTime,
    VerificationOptions,
    unbounded,
)
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.pose_prior import PoseEstimate
from netvlad_core.mapping.place_geometry import LOOKED_AT_IN_MAP, PlaceGeometry, fitting
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match, Places
from netvlad_core.model.engine import allowed_threads

# A place elsewhere with this share of the inliers could as well be the one. Chosen on the five sets of
# benchmarks/ladder.py; the other values are not recorded.
_RIVAL = 0.5
_RESECTED = 3  # places tried for a metric pose: a bound of time, not tuned
# Without a calibration a place is accepted only if the scene appears at the same scale. The offset is then at
# most about a fifth of the scene's depth, some 5 m in a street. By this reasoning; neighbours were not tried.
_SAME_SCALE = 1.2
_UNKNOWN_DISTANCE = 5.0  # metres, standard deviation: that offset
_UNKNOWN_ROTATION = np.radians(10.0)  # standard deviation, not measured
# Evidence that a metric pose needs: its support, see `Fix`, times a root of the deviations of chance by
# which its cells exceed those of the best other pose. Of the roots, blocks of cells and similarity that were
# tried, these passed fewest of 982 images of other towns and of look-alike houses, 3, at as many by night;
# with thresholds on each and cells without blocks it was 9. See docs/localization_results.md. A scene that
# stands twice has much support and no lead. The cells alone are at least 9.7 for right poses by night; their
# bound is for images of few features, all of which may agree.
_LEAST_EVIDENCE, _ROOT_OF_LEAD, _LEAST_LEAD, _LEAST_CELLS = 4.6, 0.25, 1.0, 10.0
_POOLED = 8.0  # metres between places whose surroundings are searched together
_RIVAL_AWAY = 3.0  # metres between two poses that are rivals


# Score, in units of the best one within the radius of the most similar match, beyond which a match elsewhere
# comes first: counts of inliers differ by chance. 1.0 to 1.05 tried on fourteen drives
# (benchmarks/geometry.py): from 1.03 on no figure is below that of similarity alone, and in sum R@1 and both
# recalls are higher; without this R@1 in the evening town is below it by two images.
CLEARLY = 1.04

# Shares of the time after which no more features are matched, and no more matches compared; the rest is for
# the pose. By design, not tuned.
_MATCHING, _COMPARING = 0.3, 0.7


class Verifier:
    """Compares images with places.

    Parameters
    ----------
    places : with local features or images.
    """

    def __init__(self, places: Places, options: VerificationOptions | None = None) -> None:
        self.options = options or VerificationOptions()
        self._places = places
        self._geometry = PlaceGeometry(places, self.options.features)

    @property
    def likelihood(self) -> Likelihood | None:
        """What the places have taught of inliers; those of a drive that goes on teach more and more."""
        return self._places.features.likelihood if self._places.features else None

    @classmethod
    def of_map(cls, place_map: PlaceMap, options: VerificationOptions) -> Verifier:
        """Verifier of a stored map; raises MapError if the map has neither local features nor images."""
        if place_map.features is None and place_map.header.store_images == "none":
            raise MapError(
                f"the map {place_map.path} keeps neither local features nor images, so matches cannot be "
                "verified against it; build it with --store-features, or with --store-images full"
            )
        verifier = cls(place_map, options)
        verifier._geometry.look_for_ego_mask(LOOKED_AT_IN_MAP)  # now, and not while the first image waits
        return verifier

    @property
    def looked_for(self) -> tuple[int, str]:
        """Number and kind of the local features that an image needs to be compared."""
        stored = self._places.features
        return (
            (self.options.features, "rootsift")
            if stored is None
            else (KINDS[stored.kind].located, stored.kind)
        )

    def with_options(self, options: VerificationOptions) -> Verifier:
        """The same places with other thresholds; what is known of them is kept if it stays true."""
        if options.features != self.options.features:
            if isinstance(self._places, PlaceMap):
                return Verifier.of_map(self._places, options)
            return Verifier(self._places, options)
        changed = copy(self)
        changed.options = options
        return changed

    def see(
        self,
        observation: Observation,
        matches: Sequence[Match],
        radius: float,
        has_time: HasTime = unbounded,
    ) -> Seen | None:
        """Compare an image with its matches; None if there is no time to compare it with any.

        Parameters
        ----------
        observation : with local features.
        matches : best first.
        radius : metres; a camera further from the place is somewhere else, though it may see it.
        has_time : says when to stop: matches that are not compared stay as they are, and no pose is measured.
        """
        assert observation.features is not None
        camera = fitting(observation.camera or self._places.camera, observation.features)
        query = replace(observation, camera=camera)
        elsewhere = Elsewhere(radius)
        ranked, rows = self._rank(observation.features, matches, radius, has_time)
        if not rows:
            return None
        confirmed = [match for match in ranked if self._is_confirmed(match)]
        may_measure, verified = has_time(1.0), None
        if may_measure and (verified := self._measure(query, ranked, rows, elsewhere)) is not None:
            ranked = _nearest_first(ranked, verified, elsewhere)
        if may_measure and verified is None and confirmed:
            verified = self._verify(query, ranked, confirmed, elsewhere)
        has_pose = verified is not None and verified.is_metric and verified.is_near
        lacks_pose = not has_pose and self.is_measurable(query, ranked[0].place)
        is_calibrated, min_inliers = self.likelihood is not None, self.options.min_inliers
        return Seen(ranked, confirmed, verified, is_calibrated, lacks_pose, min_inliers, elsewhere)

    def common_points(self, query: LocalFeatures, place: int) -> np.ndarray:
        """The inliers of a match as points of both images.

        Returns
        -------
        (M, 4) float: x and y in the query, x and y in the place's image, as shares of width and height.
        """
        of_place = self._geometry.features_of(place)
        rows = common_features(self._compared(query), of_place)
        seen = query.points[rows[:, 0]] / query.size, of_place.points[rows[:, 1]] / of_place.size
        return np.hstack(seen)

    def _rank(
        self, query: LocalFeatures, matches: Sequence[Match], radius: float, has_time: HasTime
    ) -> tuple[list[Match], dict[int, np.ndarray]]:
        """Matches with their inliers, the best first, and the rows of the inliers by place."""
        compared = self._compared(query)
        pairs = []
        for match in matches[: self.options.most_places]:
            if not has_time(_MATCHING):
                break
            of_place = self._geometry.features_of(match.place)
            pairs.append((of_place, match_features(compared, of_place)))

        def inliers(pair: tuple[LocalFeatures, np.ndarray]) -> np.ndarray | None:
            return epipolar_inliers(compared, *pair) if has_time(_COMPARING) else None

        # Not so the matches: their products take all threads anyway.
        with ThreadPoolExecutor(allowed_threads(), "compare") as pool:
            found = list(pool.map(inliers, pairs))
        rows = {match.place: rows for match, rows in zip(matches, found) if rows is not None}
        others = [match for match in matches if match.place not in rows]
        counted = [self._counted(match, len(rows[match.place])) for match in matches if match.place in rows]
        ranked = sorted(counted, key=lambda match: -match.score)
        if self.likelihood is None:  # scores with and without inliers have nothing in common
            return [*ranked, *others], rows
        ranked = sorted([*ranked, *others], key=lambda match: -match.score)
        return _most_similar_first(ranked, radius), rows

    def _compared(self, query: LocalFeatures) -> LocalFeatures:
        """The features that are compared with those of a place: as many, so that inliers mean the same."""
        stored = self._places.features
        return query if stored is None else query.strongest(KINDS[stored.kind].stored)

    def _counted(self, match: Match, inliers: int) -> Match:
        if self.likelihood is None:
            return replace(match, inliers=inliers)
        log_ratio, support = self.likelihood.log_ratio(inliers), self.likelihood.support(inliers)
        return replace(match, inliers=inliers, log_ratio=log_ratio, support=support)

    def _is_confirmed(self, match: Match) -> bool:
        if match.log_ratio is not None:
            return match.log_ratio >= self.options.min_log_ratio
        return self.likelihood is None and match.inliers >= self.options.min_inliers

    def _measure(
        self, query: Observation, ranked: list[Match], rows: dict[int, np.ndarray], elsewhere: Elsewhere
    ) -> VerifiedMatch | None:
        """Metric pose from stored points of the best match and the places around it.

        Those around the best match elsewhere are tried, too. None if no pose has more to say for it than
        chance: than the best other pose, there or elsewhere.
        """
        if self.likelihood is None or query.camera is None or query.features is None:
            return None
        best = ranked[0]
        centres = [best, *[match for match in elsewhere.among(ranked, best) if match.place in rows][:1]]
        fixes = [(fix, match) for match in centres if match.pose and (fix := self._fix(query, match, ranked))]
        if not fixes:
            return None
        found, anchor = max(fixes, key=lambda each: each[0].cells)
        cells = [fix.most_beyond(_RIVAL_AWAY, found.camera) for fix, _ in fixes]
        nearest = min(ranked, key=lambda other: distance(other.pose, found.pose))
        is_near = distance(nearest.pose, found.pose) <= elsewhere.radius
        lead = max(0.0, margin(found.cells, max(cells)))
        evidence = found.support * lead**_ROOT_OF_LEAD / _LEAST_EVIDENCE
        if not is_near or evidence < 1.0 or lead < _LEAST_LEAD or found.cells < _LEAST_CELLS:
            return None
        return VerifiedMatch(
            found.pose,
            found.covariance,
            nearest.place,
            nearest.similarity,
            best.inliers,
            anchor.place,
            True,
            True,
            evidence,
        )

    def _fix(self, query: Observation, centre: Match, ranked: list[Match]) -> Fix | None:
        """Pose of the query from what the places around a match have seen."""
        assert query.features is not None
        assert query.camera is not None
        assert centre.pose is not None
        beside = [match.place for match in ranked if distance(match.pose, centre.pose) <= _POOLED]
        return locate(query.features, query.camera, around(self._geometry, centre.place, beside))

    def _verify(
        self, query: Observation, ranked: list[Match], confirmed: list[Match], elsewhere: Elsewhere
    ) -> VerifiedMatch | None:
        best = confirmed[0]
        if any(match.inliers > _RIVAL * best.inliers for match in elsewhere.among(ranked, best)):
            return None
        # Where the map has taught a likelihood, points of many places have been tried already.
        for match in confirmed[: _RESECTED if self.likelihood is None else 0]:
            if self.is_measurable(query, match.place) and (found := self._resect(query, match.place)):
                nearest = min(confirmed, key=lambda other: distance(other.pose, found.pose))
                is_near = distance(nearest.pose, found.pose) <= elsewhere.radius
                return VerifiedMatch(
                    found.pose,
                    found.covariance,
                    nearest.place,
                    nearest.similarity,
                    best.inliers,
                    match.place,
                    True,
                    is_near,
                )
        # Its points are known, and yet they do not agree: most such places are streets with the same houses.
        if best.pose is None or self.is_measurable(query, best.place):
            return None
        covariance = np.diag(np.repeat([_UNKNOWN_DISTANCE**2, _UNKNOWN_ROTATION**2], 3))
        is_near = bool(abs(np.log(self._compare(query, best.place).scale)) <= np.log(_SAME_SCALE))
        return VerifiedMatch(
            best.pose, covariance, best.place, best.similarity, best.inliers, best.place, False, is_near
        )

    def _compare(self, query: Observation, place: int) -> TwoViews:
        """Epipolar geometry of the query and a place, with their cameras."""
        assert query.features is not None
        geometry = self._geometry
        return compare(query.features, geometry.features_of(place), query.camera, geometry.camera_of(place))

    def _resect(self, query: Observation, place: int) -> PoseEstimate | None:
        """Metric pose of the query from points that the places around one have seen, if they agree."""
        assert query.features is not None
        assert query.camera is not None
        inliers = self._compare(query, place).inliers
        return resect(self._geometry.points_of(place), inliers, query.features, query.camera)

    def is_measurable(self, query: Observation, place: int) -> bool:
        """Whether a query of this place would have a metric pose.

        Not without a calibration or poses, nor if the places around this one show few points from several
        sides: in a map that stands still, or of places far from each other.
        """
        places = self._places
        if query.camera is None or places.camera_of(place) is None or places.pose(place) is None:
            return False
        return int(np.isfinite(self._geometry.points_of(place)[:, 0]).sum()) >= FEWEST_POINTS


def _most_similar_first(ranked: list[Match], radius: float) -> list[Match]:
    """Matches, best first; but the best one around the most similar, if none elsewhere is clearly better."""
    similar = max(ranked, key=lambda match: match.similarity)
    here = next(
        match
        for match in ranked
        if match is similar or (similar.pose is not None and distance(match.pose, similar.pose) <= radius)
    )
    if here is ranked[0] or ranked[0].score > CLEARLY * here.score:
        return ranked
    return sorted(ranked, key=lambda match: match is not here)


def _nearest_first(ranked: list[Match], verified: VerifiedMatch, elsewhere: Elsewhere) -> list[Match]:
    """The matches, the place of a measured pose first if the best one is elsewhere."""
    if distance(ranked[0].pose, verified.pose) <= elsewhere.radius:
        return ranked
    return sorted(ranked, key=lambda match: match.place != verified.place)
