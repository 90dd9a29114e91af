"""What geometry says of one image of a drive: which place it shows, and where it was taken from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.verification import Query, Verifier
from netvlad_core.localization.retrieval import Match

# A place elsewhere that shows so large a share of the features could as well be the one.
_RIVAL = 0.5
_RESECTED = 3  # places tried for a metric pose
# Without a calibration the camera is taken to be at a place only where it shows the scene as large. How far
# it stays from it is unknown: a fifth as far as the scene, which in a street is some 30 m away.
_SAME_SCALE = 1.2
_UNKNOWN_DISTANCE = 5.0  # metres, standard deviation
_UNKNOWN_ROTATION = np.radians(10.0)  # standard deviation


@dataclass(frozen=True, eq=False)
class Sighting:
    """A place that geometry confirms.

    Attributes
    ----------
    place : its row.
    inliers : local features that agree.
    similarity : of the descriptors.
    pose : of the image, base_link in the frame of the places.
    covariance : (6, 6) float64 of it, order x y z roll pitch yaw, m^2 and rad^2, about that frame's axes.
    is_metric : whether the distance from the place is measured.
    is_near : whether the camera is at the place, and does not only see it from afar.
    """

    place: int
    inliers: int
    similarity: float
    pose: Pose
    covariance: np.ndarray
    is_metric: bool
    is_near: bool


def sight(verifier: Verifier, query: Query, ranked: Sequence[Match], radius: float) -> Sighting | None:
    """Say which place an image shows.

    Parameters
    ----------
    ranked : matches with poses, in the order of `verifier.rank`.
    radius : metres; a camera further from the place is somewhere else, though it may see it.

    Returns
    -------
    None where nothing is confirmed, what is stands in two parts of the map, or it cannot be measured though
    the points of the place are known.
    """
    confirmed = [match for match in ranked if verifier.confirms(match)]
    if not confirmed:
        return None
    best = confirmed[0]
    if any(m.inliers > _RIVAL * best.inliers for m in _elsewhere(ranked, best, radius)):
        return None
    for match in confirmed[:_RESECTED]:
        resection = verifier.resect(query, match.place)
        if resection is not None:
            nearest = min(confirmed, key=lambda m: _distance(m, resection.pose))
            return Sighting(
                nearest.place, best.inliers, nearest.similarity, resection.pose, resection.covariance,
                is_metric=True, is_near=_distance(nearest, resection.pose) <= radius,
            )  # fmt: skip
    # Its points are known, and yet they do not agree: most such places are streets with the same houses.
    return None if verifier.is_measurable(query, best.place) else _without_metres(verifier, query, best)


def margin(ranked: Sequence[Match], radius: float) -> float:
    """By how much the score of the best match exceeds that of every match elsewhere."""
    best = ranked[0]
    return best.score - max((match.score for match in _elsewhere(ranked, best, radius)), default=0.0)


def _without_metres(verifier: Verifier, query: Query, best: Match) -> Sighting | None:
    """The place itself."""
    if best.pose is None:
        return None
    covariance = np.diag(np.repeat([_UNKNOWN_DISTANCE**2, _UNKNOWN_ROTATION**2], 3))
    is_near = abs(np.log(verifier.compare(query, best.place).scale)) <= np.log(_SAME_SCALE)
    return Sighting(
        best.place, best.inliers, best.similarity, best.pose, covariance, is_metric=False,
        is_near=bool(is_near),
    )  # fmt: skip


def _elsewhere(matches: Sequence[Match], best: Match, radius: float) -> list[Match]:
    """Those that show another part of the map than the best one does; without poses nobody knows."""
    pose = best.pose
    return [match for match in matches if pose is not None and _distance(match, pose) > 2 * radius]


def _distance(match: Match, pose: Pose) -> float:
    return np.inf if match.pose is None else float(np.linalg.norm(match.pose.position - pose.position))
