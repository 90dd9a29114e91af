"""Poses for consumers that believe every number."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_ros.conversions import prior_to_message

# AMCL of Nav2 main refuses larger ones. robot_localization raises what is below 1e-9 to that, which trusts a
# pose too much.
_LARGEST, _SMALLEST = 1e9, 1e-4  # variances, m^2 or rad^2


def diagonal_message(prior: PosePrior, header: Header) -> PoseWithCovarianceStamped:
    """A pose of length-one quaternion whose covariance has variances only, within the bounds of AMCL.

    AMCL of Nav2 main refuses a negative entry (its releases up to Kilted refuse only what is not finite), and
    half of all covariances between two axes are negative. Without them the ellipse has the same extent along
    each axis.

    Raises
    ------
    PoseError
        If the pose is not finite.
    """
    pose = Pose.from_values(prior.pose.position, prior.pose.quaternion)
    variances = np.nan_to_num(np.diag(prior.covariance), nan=_LARGEST, posinf=_LARGEST)
    covariance = np.diag(variances.clip(_SMALLEST, _LARGEST))
    return prior_to_message(PosePrior(pose, covariance, prior.agreement), header)
