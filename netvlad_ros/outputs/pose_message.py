"""Poses for consumers that believe every number."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_ros.conversions import prior_to_message

# AMCL refuses more; robot_localization puts 1e-6 where it finds zero, which trusts a pose too much.
_LARGEST, _SMALLEST = 1e9, 1e-4  # variances, m^2 or rad^2


def diagonal_message(prior: PosePrior, header: Header) -> PoseWithCovarianceStamped:
    """A pose of length-one quaternion whose covariance has variances only, all within AMCL's bounds.

    AMCL takes no negative entry, and half of all covariances between two axes are negative. Without them the
    ellipse has the same extent along each axis.

    Raises
    ------
    PoseError
        If the pose is not finite.
    """
    pose = Pose.from_values(prior.pose.position, prior.pose.quaternion)
    variances = np.nan_to_num(np.diag(prior.covariance), nan=_LARGEST, posinf=_LARGEST)
    covariance = np.diag(variances.clip(_SMALLEST, _LARGEST))
    return prior_to_message(PosePrior(pose, covariance, prior.agreement), header)
