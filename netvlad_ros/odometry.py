"""The odometry of the last seconds, to be asked for the pose at an image's stamp."""

from __future__ import annotations

from collections import deque
from threading import Lock

from nav_msgs.msg import Odometry

from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import Trajectory
from netvlad_ros.conversions import pose_from_message, stamp_to_nanoseconds

# Longer than any image waits for the network.
_KEPT = 10 * 10**9  # nanoseconds


class OdometryBuffer:
    """Poses odom <- base_link of the last ten seconds; safe to use from several threads.

    Attributes
    ----------
    frame_id, child_frame_id : of the newest message, empty before the first one.
    """

    def __init__(self) -> None:
        self.frame_id = ""
        self.child_frame_id = ""
        self._poses: deque[tuple[int, Pose]] = deque()
        self._lock = Lock()

    def add(self, message: Odometry) -> bool:
        """Keep a pose; returns False if the clock jumped back or the frames changed, and all older ones go.

        Raises
        ------
        PoseError
            If the pose is no rigid transform; the poses before it stay.
        """
        stamp = stamp_to_nanoseconds(message.header.stamp)
        pose = pose_from_message(message.pose.pose)
        frames = (message.header.frame_id, message.child_frame_id)
        with self._lock:
            is_new_frame = bool(self._poses) and frames != (self.frame_id, self.child_frame_id)
            continues = not is_new_frame and not (self._poses and stamp < self._poses[-1][0])
            if not continues:
                self._poses.clear()
            self.frame_id, self.child_frame_id = frames
            self._poses.append((stamp, pose))
            while self._poses[0][0] < stamp - _KEPT:
                self._poses.popleft()
        return continues

    def at(self, stamp: int) -> Pose | None:
        """Pose odom <- base_link at an instant (nanoseconds), or None where it is not known."""
        with self._lock:
            poses = list(self._poses)
        return Trajectory.from_poses(poses).at(stamp) if poses else None
