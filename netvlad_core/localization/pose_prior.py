"""One pose with an honest covariance out of several place matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import chdtri

from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.mapping.places import Match

# Beyond this difference in heading two cameras at one position see different things. A usual field of view;
# neighbours were not tried.
_AGREEMENT_ANGLE = np.radians(60.0)
# Standard deviations, chosen on drives whose poses are known, see docs/localization.md. The query was taken
# beside the map's path, not on it, and retrieval says nothing about that offset: half a lane is usual.
_ALONG, _ACROSS = 0.5, 2.0  # metres, along the path and across it
_ROTATION_FLOOR = np.radians(3.0)
_NO_SPREAD = 1e-6  # square metres
# Of the variance of the agreeing positions: their mean errs less than each does. With 0.5 only 87 % of the
# poses in darkness were inside the 95 % ellipse.
_SHARE_OF_SPREAD = 0.75
_AGREEMENT_PROBABILITY = 0.999


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A pose with its covariance.

    Attributes
    ----------
    pose : base_link in the frame of the places.
    covariance : (6, 6) float64, order x y z roll pitch yaw, m^2 and rad^2, about the axes of that frame.
    """

    pose: Pose
    covariance: np.ndarray

    def mahalanobis(self, position: np.ndarray, covariance: np.ndarray | float = 0.0) -> float:
        """Squared Mahalanobis distance of a position (A,), whose first A axes count: 2 for x and y, or 3.

        Parameters
        ----------
        covariance : (A, A) of the position, if it is uncertain too.
        """
        axes = len(position)
        difference = position - self.pose.position[:axes]
        together = self.covariance[:axes, :axes] + covariance
        return float(difference @ np.linalg.solve(together, difference))

    def holds(
        self, position: np.ndarray, probability: float = 0.95, covariance: np.ndarray | float = 0.0
    ) -> bool:
        """Whether a position, as in `mahalanobis`, lies in the ellipse or ellipsoid of this probability."""
        return self.mahalanobis(position, covariance) <= float(chdtri(len(position), 1 - probability))


@dataclass(frozen=True, eq=False)
class PosedMatch(PoseEstimate):
    """A place and the pose of the image that shows it.

    Attributes
    ----------
    place : row of the place.
    similarity : inner product of the two descriptors.
    inliers : local features that agree; 0 without verification.
    """

    place: int
    similarity: float
    inliers: int


@dataclass(frozen=True, eq=False)
class PosePrior(PoseEstimate):
    """Pose of an image by its matches.

    Attributes
    ----------
    agreement : share of the matches' weight that supports this pose, in (0, 1].
    """

    agreement: float


def estimate_pose(
    matches: Sequence[Match], spacing: float, radius: float = POSITIVE_WITHIN
) -> PosePrior | None:
    """Weighted mean of the matches that agree with the best one; None if the best match has no pose.

    A match weighs as much as its score exceeds that of the weakest one. The covariance is the sum of the
    weighted spread of the agreeing matches, the variance of a position anywhere between two places, and that
    of the unknown offset beside the path. The path is where the matches lie.

    Parameters
    ----------
    matches : best first.
    spacing : metres between consecutive places of the map.
    radius : metres within which a match agrees with the best one.
    """
    posed = [match for match in matches if match.pose is not None]
    if not posed or posed[0] is not matches[0]:
        return None
    positions = np.array([match.pose.position for match in posed if match.pose])
    quaternions = np.array([match.pose.quaternion for match in posed if match.pose])
    scores = np.array([match.score for match in posed])
    agrees = np.linalg.norm(positions - positions[0], axis=1) <= radius
    agrees &= rotation_between(quaternions, quaternions[0]) <= _AGREEMENT_ANGLE
    weights = scores - scores.min()
    if not weights[agrees].any():  # all score the same, or the first match was chosen against its score
        weights = np.ones_like(weights)
    agreement = weights[agrees].sum() / weights.sum()
    weights = weights[agrees] / weights[agrees].sum()
    rotations = Rotation.from_quat(quaternions[agrees])
    pose = Pose(weights @ positions[agrees], rotations.mean(weights).as_quat())
    deviations = np.hstack([positions[agrees] - pose.position, (rotations * pose.rotation.inv()).as_rotvec()])
    deviations[:, :3] *= np.sqrt(_SHARE_OF_SPREAD)
    spread = (deviations * weights[:, None]).T @ deviations
    return PosePrior(pose, spread + _floor(spread[:3, :3], spacing), float(agreement))


def _floor(spread: np.ndarray, spacing: float) -> np.ndarray:
    """(6, 6) covariance that the matches do not show; `spread` (3, 3) is that of their positions."""
    along = _ALONG**2 + spacing**2 / 12
    extents, axes = np.linalg.eigh(spread)
    path = axes[:, -1] if extents[-1] > _NO_SPREAD else np.zeros(3)
    across = max(_ACROSS**2, along)  # if places are far apart, the path is unknown, too
    floor = np.diag(np.repeat([across, _ROTATION_FLOOR**2], 3))
    floor[:3, :3] -= (across - along) * np.outer(path, path)
    return floor


def agrees(prior: PosePrior, measured: PoseEstimate) -> bool:
    """Whether a measured position lies where the matches allow it (99.9 % of their common covariance)."""
    return prior.holds(measured.pose.position, _AGREEMENT_PROBABILITY, measured.covariance[:3, :3])
