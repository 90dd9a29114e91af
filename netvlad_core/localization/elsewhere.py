"""Elsewhere: how far apart two positions must be to count as different places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.mapping.places import Match

# Metres by which two positions that geometry has measured may differ from the odometry between them: ten
# times the floor of their standard deviations (0.3 m), and far less than the distance of two equal houses. By
# design; other numbers were not tried.
MEASURED = 3.0


@dataclass(frozen=True)
class Elsewhere:
    """The rule for cameras and places.

    Attributes
    ----------
    radius : metres between a camera and a place beyond which the camera is elsewhere; by default the paper's
        radius for positives, see `SequenceOptions.radius` for what was tried.
    """

    radius: float = POSITIVE_WITHIN

    @property
    def between_places(self) -> float:
        """Metres between two places beyond which one of them is elsewhere: one camera may be near both."""
        return 2 * self.radius

    def among(self, matches: Sequence[Match], best: Match) -> list[Match]:
        """Matches elsewhere than the best one; none without poses, since nobody knows."""
        pose = best.pose
        return [m for m in matches if pose is not None and distance(m.pose, pose) > self.between_places]

    def margin(self, matches: Sequence[Match]) -> float:
        """By how much the score of the first match exceeds that of every match elsewhere."""
        rivals = (match.score for match in self.among(matches, matches[0]))
        return matches[0].score - max(rivals, default=0.0)


def distance(one: Pose | None, other: Pose) -> float:
    """Metres between two poses, infinite if one is missing."""
    return np.inf if one is None else float(np.linalg.norm(one.position - other.position))
