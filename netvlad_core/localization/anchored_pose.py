"""The poses of the matches of a drive, held together by odometry.

The matches of one image are off by metres along the path, here ahead and there behind; over some way that
averages out. What does not is an offset beside the path, which retrieval cannot see.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.localization.tracking.odometry_anchor import OdometryAnchor, planar
from netvlad_core.localization.tracking.place_motion import wrapped
from netvlad_core.localization.tracking.sequence_filter import FASTEST

# Metres, least scale of the anchor, which remembers six of them. With exact odometry the mean error in the
# town by evening is 2.46 m without an anchor, 2.14 m at 2.5, 1.86 m at 4 and 1.68 m at 6; a drift of 10
# degrees in 100 m is worth a metre in 24 m.
_LEAST_SCALE = 4.0
# Way, in scales, or turn within which images say the same. By design.
_LEAST_WAY, _TURN = 0.1, 0.5


class AnchoredPose:
    """Odometry anchored to the poses of the last images.

    Parameters
    ----------
    spacing : metres between places of the map.
    """

    def __init__(self, spacing: float) -> None:
        self._anchor = OdometryAnchor(max(spacing, _LEAST_SCALE))
        self.forget()

    def forget(self) -> None:
        """Start anew: the robot was carried, or another drive begins."""
        self._anchor.forget()
        self._added: Pose | None = None
        self._last, self._stamp = Pose.identity(), 0

    def next(self, prior: PosePrior, odometry: Pose, stamp: int) -> PosePrior:
        """The prior of the next image with the pose that odometry comes to; its covariance stays.

        Parameters
        ----------
        odometry : odom <- base_link at the stamp.
        stamp : nanoseconds.
        """
        if not np.isfinite([*odometry.position, odometry.yaw]).all():
            self.forget()
            return prior
        step = float(np.linalg.norm(odometry.position - self._last.position))
        if self._added is not None and not step <= FASTEST * (stamp - self._stamp) / 1e9:
            self.forget()  # odometry was reset, or time was
        self._last, self._stamp = odometry, stamp
        pose = prior.pose
        if self._added is None or self._way(odometry) >= _LEAST_WAY:
            way = 1.0 if self._added is None else min(1.0, self._way(odometry))
            weight = way / float(np.trace(prior.covariance[:2, :2]))
            heading = complex(np.exp(1j * pose.yaw))
            self._anchor.add(planar(pose.position), heading, odometry, way, weight)
            self._added = odometry
        carried = self._anchor.carried(odometry)
        assert carried is not None
        at, heading = carried
        turn = Rotation.from_rotvec([0.0, 0.0, float(wrapped(np.angle(heading) - pose.yaw))])
        position = np.array([at.real, at.imag, pose.position[2]])
        return replace(prior, pose=Pose(position, (turn * pose.rotation).as_quat()))

    def _way(self, odometry: Pose) -> float:
        """Since the last pose that was added, in scales."""
        assert self._added is not None
        way = float(np.linalg.norm(odometry.position - self._added.position)) / self._anchor.scale
        return way + abs(float(wrapped(odometry.yaw - self._added.yaw))) / _TURN
