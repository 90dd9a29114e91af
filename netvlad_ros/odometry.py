"""The odometry of the last seconds, to be asked for the pose at an image's stamp."""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from time import monotonic

from nav_msgs.msg import Odometry

from netvlad_core.data.geometry import Pose
from netvlad_core.data.judges.clocks import OUT_OF_ORDER, REPEATED, ClockJudge
from netvlad_core.data.judges.frames import OTHER_FRAMES, FrameJudge
from netvlad_core.data.judges.positions import JUMP, JumpJudge
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.data.transforms import frame_name
from netvlad_core.errors import PoseError
from netvlad_ros.conversions import pose_from_message, stamp_to_nanoseconds
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.static_frames import StaticFrames

STREAM = "odometry"
# How far a stamp may run ahead of the time that has passed: a recording may be played fast, without a /clock.
AHEAD = 10 * 10**9  # nanoseconds
# Longer than any image waits for the network.
_KEPT = 10 * 10**9  # nanoseconds
# Odometry that was silent for so long is not waited for; a plain GPS comes once a second.
_ALIVE = 2.5  # seconds
# An image this far ahead of all odometry has another clock: no wait brings them together.
_NEAR = 5 * 10**9  # nanoseconds
# Static transforms are latched: those that exist are known soon after the first message.
_TRANSFORM_WAIT = 2.0  # seconds


class OdometryBuffer:
    """Stamped poses of the last ten seconds; safe to use from several threads."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._poses: list[Pose] = []
        self._lock = Lock()

    def add(self, stamp: int, pose: Pose) -> None:
        """Keep a pose at its stamp (nanoseconds), in whatever order poses come."""
        with self._lock:
            index = bisect_left(self._stamps, stamp)
            if index < len(self._stamps) and self._stamps[index] == stamp:
                self._poses[index] = pose
                return
            self._stamps.insert(index, stamp)
            self._poses.insert(index, pose)
            old = bisect_left(self._stamps, self._stamps[-1] - _KEPT)
            del self._stamps[:old], self._poses[:old]

    def at(self, stamp: int) -> Pose | None:
        """Pose at an instant (nanoseconds), from the poses before and after it; None if it is not known."""
        with self._lock:
            index = bisect_left(self._stamps, stamp)
            around = slice(max(0, index - 1), index + 1)
            pairs = list(zip(self._stamps[around], self._poses[around]))
        return Trajectory.from_poses(pairs).at(stamp) if pairs else None

    @property
    def newest(self) -> int | None:
        """Stamp of the newest pose, None without any."""
        with self._lock:
            return self._stamps[-1] if self._stamps else None

    def clear(self) -> None:
        with self._lock:
            self._stamps.clear()
            self._poses.clear()

    def __len__(self) -> int:
        return len(self._stamps)


class OdometryInput:
    """The odometry topic as poses of the base frame.

    Messages are judged by frames, stamps and positions: a single odd one is left out and counted. Poses of
    another frame of the robot are carried to the base frame by /tf_static. If /tf_static does not join the
    two, the poses count as those of the base frame, and a warning names both.

    Parameters
    ----------
    statistics : counts what is used and what is left out.
    static_frames : how the frames of the robot lie.

    Attributes
    ----------
    frame_id : frame of the poses, empty before the first message.
    is_unjoined : whether poses of another frame count as those of the base frame.
    """

    def __init__(self, statistics: Statistics, static_frames: StaticFrames) -> None:
        self._statistics = statistics
        self._static_frames = static_frames
        self.begin("base_link")

    def begin(self, base_frame: str) -> None:
        """Forget all that was heard; from now on poses are those of this frame."""
        self.base_frame = frame_name(base_frame)
        self.frame_id = self._child = ""
        self.is_unjoined = False
        self._first_heard, self._last_heard = 0.0, float("-inf")
        self._buffer = OdometryBuffer()
        self._frames = FrameJudge()
        self._clock = ClockJudge(AHEAD)
        self._jumps = JumpJudge()

    def hear(self, message: Odometry, received: int) -> bool:
        """Take a message that came at an instant of the node's clock (nanoseconds).

        Returns
        -------
        Whether the odometry starts anew: nothing from before compares with this message.
        """
        frames = frame_name(message.header.frame_id), frame_name(message.child_frame_id)
        try:
            pose = pose_from_message(message.pose.pose)
        except PoseError as error:
            self._leave_out(f"{error}")
            return False
        is_ours, is_new_frame = self._frames.judge(frames, received)
        if not is_ours:
            self._leave_out(self._frames.remark, OTHER_FRAMES)
            return False
        judged = self._clock.judge(stamp_to_nanoseconds(message.header.stamp), received)
        if judged.stamp is None:
            self._leave_out(judged.reason, judged.reason)
            return False
        jump = self._jumps.judge(judged.stamp, pose.position)
        if jump is None:
            self._leave_out(JUMP, JUMP)
            return False
        starts_anew = is_new_frame or judged.starts_anew or jump > 0
        self._keep(judged.stamp, pose, frames, starts_anew)
        return starts_anew

    def _keep(self, stamp: int, pose: Pose, frames: tuple[str, str], starts_anew: bool) -> None:
        if starts_anew:
            self._statistics.count("odometry started anew")
            self._buffer.clear()
        if starts_anew or not self._first_heard:
            self._first_heard = monotonic()
        self.frame_id, self._child = frames
        self._last_heard = monotonic()
        self._buffer.add(stamp, pose)
        self._statistics.take(STREAM)

    def _leave_out(self, reason: str, kind: str | None = None) -> None:
        if kind in (OUT_OF_ORDER, REPEATED):  # the network's doing, and no loss
            self._statistics.count(f"odometry with {kind}")
            return
        self._statistics.leave_out(STREAM, reason, kind)

    def at(self, stamp: int) -> Pose | None:
        """Pose frame_id <- base frame at an instant (nanoseconds), None if it is not known."""
        pose = self._buffer.at(stamp)
        if pose is None or self._child in ("", self.base_frame):
            return pose
        to_base = self._static_frames.between(self._child, self.base_frame)
        if to_base is not None:
            self.is_unjoined = False
            return pose @ to_base
        if self._static_frames.may_hear and monotonic() - self._first_heard < _TRANSFORM_WAIT:
            return None
        self.is_unjoined = True
        return pose

    @property
    def unjoined_remark(self) -> str:
        """A sentence that names both frames, empty unless `is_unjoined`."""
        if not self.is_unjoined:
            return ""
        return (
            f"odometry is of {self._child!r}, which /tf_static does not join to {self.base_frame!r}; its "
            "poses are used unchanged; publish the static transform, or set base_frame"
        )

    @property
    def frames_remark(self) -> str:
        """A sentence that names both pairs of frames if two publishers use the topic, otherwise empty."""
        return self._frames.remark

    @property
    def is_heard(self) -> bool:
        """Whether any odometry could be used so far."""
        return self._buffer.newest is not None

    @property
    def is_alive(self) -> bool:
        """Whether odometry was heard a moment ago."""
        return monotonic() - self._last_heard < _ALIVE

    @property
    def lag(self) -> float | None:
        """Usual time from stamp to arrival in seconds, None before the first message."""
        return self._clock.lag

    def is_awaited(self, stamp: int) -> bool:
        """Whether odometry at or beyond an instant (nanoseconds) has not come yet, but may."""
        newest = self._buffer.newest
        return self.is_alive and newest is not None and 0 < stamp - newest < _NEAR
