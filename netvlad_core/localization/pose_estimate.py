"""A pose and how uncertain it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose


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
