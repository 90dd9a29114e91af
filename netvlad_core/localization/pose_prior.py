"""One pose with an honest covariance out of several place matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.localization.retrieval import Match
from netvlad_core.localization.structure import Resection

# Matches further than this from the best one show another place, whatever the heading: the paper's positive
# radius.
AGREEMENT_RADIUS = 10.0
# Beyond this difference in heading two cameras at one position see different things.
_AGREEMENT_ANGLE = np.radians(60.0)
# The query was taken beside the map's path, not on it; retrieval says nothing about that offset.
_POSITION_FLOOR = 1.0  # metres, standard deviation
_ROTATION_FLOOR = np.radians(5.0)  # standard deviation
_MOST_DISAGREEMENT = float(chi2.ppf(0.999, 3))  # squared Mahalanobis distance


@dataclass(frozen=True)
class PosePrior:
    """A pose estimate.

    Attributes
    ----------
    pose : map <- base_link.
    covariance : (6, 6) float64, order x y z roll pitch yaw, m^2 and rad^2, about the map's axes.
    agreement : share of the matches' weight that supports this pose, in (0, 1].
    """

    pose: Pose
    covariance: np.ndarray
    agreement: float


def estimate_pose(
    matches: Sequence[Match], spacing: float, radius: float = AGREEMENT_RADIUS
) -> PosePrior | None:
    """Weighted mean of the matches that agree with the best one.

    A match weighs as much as its score exceeds that of the weakest one. The covariance is the weighted
    spread of the agreeing matches, plus the map's spacing and the unknown offset beside its path.

    Parameters
    ----------
    matches : best first, as `retrieve` and `Verifier.rank` return them.
    spacing : metres between consecutive places of the map.
    radius : metres, within which a match agrees with the best one.

    Returns
    -------
    The prior, or None if the best match has no pose.
    """
    posed = [match for match in matches if match.pose is not None]
    if not posed or posed[0] is not matches[0]:
        return None
    positions = np.array([match.pose.position for match in posed if match.pose])
    quaternions = np.array([match.pose.quaternion for match in posed if match.pose])
    weights = _weights(np.array([match.score for match in posed]))
    agrees = np.linalg.norm(positions - positions[0], axis=1) <= radius
    agrees &= rotation_between(quaternions, quaternions[0]) <= _AGREEMENT_ANGLE
    agreement = weights[agrees].sum() / weights.sum()
    weights = weights[agrees] / weights[agrees].sum()
    rotations = Rotation.from_quat(quaternions[agrees])
    pose = Pose(weights @ positions[agrees], rotations.mean(weights).as_quat())
    deviations = np.hstack([positions[agrees] - pose.position, (rotations * pose.rotation.inv()).as_rotvec()])
    floor = np.repeat([_POSITION_FLOOR**2 + spacing**2, _ROTATION_FLOOR**2], 3)
    covariance = (deviations * weights[:, None]).T @ deviations + np.diag(floor)
    return PosePrior(pose, covariance, float(agreement))


def agrees(prior: PosePrior, resection: Resection) -> bool:
    """Whether a measured position lies where the matches allow it (99.9 % of their common covariance)."""
    difference = resection.pose.position - prior.pose.position
    together = prior.covariance[:3, :3] + resection.covariance[:3, :3]
    return bool(difference @ np.linalg.solve(together, difference) <= _MOST_DISAGREEMENT)


def _weights(scores: np.ndarray) -> np.ndarray:
    contrast = scores - scores.min()
    return contrast if contrast.any() else np.ones_like(contrast)
