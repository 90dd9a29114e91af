"""What geometry says of an image: the places it may show, in order, and where it was taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.elsewhere import Elsewhere, distance
from netvlad_core.localization.pose_prior import PosedMatch
from netvlad_core.mapping.places import Match

# Weight of a match whose pose should have been measurable but was not. Look-alike houses also give inliers.
# Chosen on the five sets of benchmarks/ladder.py; the other values are not recorded.
_UNMEASURED = 0.5
# Evidence, in units of the least, at which a measured pose begins to count on a drive, and nats for each
# unit beyond, one at most. In streets of look-alike houses on the plan of the map 19 of 1362 images have a
# wrong pose, several in a row, of at most 1.7. From 1.0 on such drives have twice as many poses.
_EVIDENT, _NATS = 1.5, 4.0


@dataclass(frozen=True, eq=False)
class VerifiedMatch(PosedMatch):
    """A place that geometry confirms, and the pose of the image.

    Attributes
    ----------
    anchor : place whose surroundings have measured the pose, for all that is relative to it: on a drive that
        goes on odometry has drifted between two visits of one place. Else the place itself.
    is_metric : whether the distance from the place is measured.
    is_near : whether the camera is at the place, and does not only see it from afar.
    evidence : for a pose among stored points, in units of the least that counts; else 0.
    """

    anchor: int
    is_metric: bool
    is_near: bool
    evidence: float = 0.0

    @property
    def nats(self) -> float:
        """By how much the pose speaks for its place on a drive, if it was measured among stored points."""
        return _NATS * float(np.clip(self.evidence - _EVIDENT, 0.0, 1.0)) if self.is_near else 0.0


@dataclass(frozen=True, eq=False)
class Seen:
    """What geometry says of an image.

    Attributes
    ----------
    matches : matches with their inliers, the best score first.
    confirmed : matches with at least `min_log_ratio`, or `min_inliers` if the map has taught no likelihood.
    verified : the place that the image shows and where it was taken; None if no place is confirmed, if two
        distant places are, or if the pose should be measurable but is not.
    is_calibrated : whether the map has taught a likelihood: then scores are similarities, or more.
    lacks_pose : whether the best match has points in metres, and the inliers agree on no pose among them.
    min_inliers : of `VerificationOptions`.
    elsewhere : the rule in force.
    """

    matches: list[Match]
    confirmed: list[Match]
    verified: VerifiedMatch | None
    is_calibrated: bool
    lacks_pose: bool
    min_inliers: int
    elsewhere: Elsewhere

    @property
    def _trust(self) -> float:
        return _UNMEASURED if self.lacks_pose else 1.0

    @property
    def weights(self) -> dict[int, float]:
        """What the inliers of each place add to its similarity, in standard deviations of that.

        ln(1 + l) for a log ratio l. In maps without a likelihood 0 up to half of `min_inliers` (unrelated
        images reach that by chance), then ln 2 = 0.7 per doubling.
        """
        if self.is_calibrated:
            return {
                match.place: self._trust * float(np.log1p(match.log_ratio or 0.0)) for match in self.matches
            }
        half = 0.5 * self.min_inliers
        return {
            match.place: self._trust * float(np.log(max(1.0, match.inliers / half))) for match in self.matches
        }

    def nats_for(self, place: Pose | None) -> float:
        """By how much the inliers say that the image shows a place, and not one further off than the radius.

        The log of the likelihood ratio of the best match here, less that of the best one there; 0 without a
        likelihood or a pose of the place.
        """
        if not self.is_calibrated or place is None:
            return 0.0
        ratios = {True: [0.0], False: [0.0]}
        for match in self.matches:
            ratios[distance(match.pose, place) <= self.elsewhere.radius].append(match.log_ratio or 0.0)
        return max(ratios[True]) - max(ratios[False])

    @property
    def confidence(self) -> float:
        """Best score, times the evidence for a measured pose if there is one.

        Without a likelihood its margin over those elsewhere, less if no pose is measured.
        """
        if self.is_calibrated:
            return self.matches[0].score * max(1.0, self.verified.evidence if self.verified else 0.0)
        return self._trust * self.elsewhere.margin(self.matches)
