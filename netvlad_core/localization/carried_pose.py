"""The last pose that geometry has measured on a drive, carried on by odometry to the images after it.

Not every image has a pose of its own: there was no time to verify it, or too little to see. Odometry is far
more exact over a few metres than the matches are, so until it has drifted as far as those are uncertain, the
measured pose moved on is the better one.
"""

from __future__ import annotations

import numpy as np

from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.localization.pose_prior import PoseEstimate
from netvlad_core.localization.tracking.sequence_filter import FASTEST


class CarriedPose:
    """A pose in the map, and the odometry that belongs to it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop it: what comes next is of another drive, or contradicts it."""
        self._measured: PoseEstimate | None = None
        self._odometry, self._last, self._stamp = Pose.identity(), Pose.identity(), 0
        self._way = self._turned = 0.0

    def next(
        self, measured: PoseEstimate | None, odometry: Pose | None, stamp: int, sigma: float
    ) -> PoseEstimate | None:
        """Pose of the next image: the one measured in it, else the last one, if there was odometry since.

        Parameters
        ----------
        odometry : odom <- base_link at the stamp.
        stamp : nanoseconds.
        sigma : standard deviation of odometry, as a share of distance and turn.
        """
        if odometry is None:
            self.forget()
            return measured
        if measured is not None:
            self.forget()
            self._measured, self._odometry = measured, odometry
        elif self._measured is not None:
            step = float(np.linalg.norm(odometry.position - self._last.position))
            if not step <= FASTEST * (stamp - self._stamp) / 1e9:  # it was reset, or time was
                self.forget()
                return None
            self._way += step
            self._turned += float(rotation_between(odometry.quaternion, self._last.quaternion))
        self._last, self._stamp = odometry, stamp
        return measured or self._moved(odometry, sigma)

    def _moved(self, odometry: Pose, sigma: float) -> PoseEstimate | None:
        if self._measured is None:
            return None
        start, covariance = self._measured.pose, self._measured.covariance
        pose = start @ (self._odometry.inverse() @ odometry)
        x, y, z = pose.position - start.position
        # A small rotation about the axes of the map moves the position by its cross product with the way.
        lever = np.eye(6)
        lever[:3, 3:] = [[0, z, -y], [-z, 0, x], [y, -x, 0]]
        drift = np.repeat([(sigma * self._way) ** 2, (sigma * self._turned) ** 2], 3)
        return PoseEstimate(pose, lever @ covariance @ lever.T + np.diag(drift))
