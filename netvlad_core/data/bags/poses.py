"""The trajectory of the robot from the pose messages of a bag."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.bags.bag_file import Bag, Topic
from netvlad_core.data.bags.storage import RawMessage
from netvlad_core.data.bags.topics import TF_TYPES, static_tf_topics
from netvlad_core.data.geodesy import east_north_up, headings_of_travel
from netvlad_core.data.geometry import Pose
from netvlad_core.data.judges.clocks import judge_recording
from netvlad_core.data.judges.frames import OTHER_FRAMES, Frames, describe, main_frames
from netvlad_core.data.judges.positions import NO_FIX, has_fix
from netvlad_core.data.pose_log import MessageLog, PoseLog, count_skips, kept_by
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.data.transforms import TransformTree, frame_name, pose_of
from netvlad_core.errors import BrokenMessage, PoseError

_log = logging.getLogger(__name__)
_NOT_JOINED = (
    "poses of %s are of %s, which /tf_static does not join to %s: taken as they are; or give extrinsics"
)

BROKEN_POSE = "broken pose message"


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Trajectory of a frame on the robot.

    Attributes
    ----------
    trajectory : frame_id <- child_frame_id.
    frame_id, child_frame_id : names, empty if the messages do not tell.
    has_own_rotation : False if the rotation is the robot's heading, however the sensor is mounted.
    lag : median time from stamp to recording in seconds, None if it is not known.
    remarks : sentences about what is unusual in the messages; some may be empty.
    """

    trajectory: Trajectory
    frame_id: str
    child_frame_id: str
    has_own_rotation: bool = True
    lag: float | None = None
    remarks: list[str] = field(default_factory=list)

    def of_base(self, base_frame: str, extrinsics: Pose) -> PoseTrack:
        """Return the track of the base frame; extrinsics are base_frame <- child_frame_id."""
        if not self.has_own_rotation:
            extrinsics = Pose(extrinsics.position, Pose.identity().quaternion)
        moved = self.trajectory.moved(extrinsics.inverse())
        return replace(self, trajectory=moved, child_frame_id=base_frame, has_own_rotation=True)


class PoseRecording:
    """Reads the poses of the base frame from the messages of a bag as they go by.

    Attributes
    ----------
    takers : topic to the function that takes its messages, or raises BrokenMessage or PoseError.
    """

    def __init__(
        self, bag: Bag, topic: Topic, base_frame: str, skipped: Counter[str], by_recording: bool = False
    ) -> None:
        """Take a counter for the reasons of unusable poses, and whether stamps are the times of recording."""
        self._topic = topic
        self._base_frame = base_frame
        self._skipped = skipped
        transforms = _Transforms(bag.decode, by_recording)
        self._tree = transforms.tree
        self._is_tf = topic.type in TF_TYPES
        self._poses = _READERS.get(topic.type, _StampedPoses)(bag.decode, by_recording)
        statics = static_tf_topics(bag.topics, topic.name)
        self.takers: dict[str, Callable[[RawMessage], None]] = dict.fromkeys(statics, transforms.add_static)
        self.takers[topic.name] = transforms.add if self._is_tf else self._poses.add

    def track(self, map_frame: str | None, extrinsics: Pose | None, max_gap: float) -> PoseTrack:
        """Return what was read; raises SourceError if TF does not join the frames.

        Parameters
        ----------
        map_frame, max_gap : for TF, see `TransformTree.trajectory`.
        extrinsics : see `SourceOptions`.
        """
        if self._is_tf:
            frame, path = self._tree.trajectory(self._base_frame, map_frame, max_gap, self._skipped)
            return PoseTrack(path, frame, self._base_frame, lag=self._tree.lag, remarks=self._tree.remarks)
        track = self._poses.track(self._skipped)
        track.remarks.extend(self._tree.remarks)
        if extrinsics is None and track.child_frame_id:
            extrinsics = self._tree.fixed_between(self._base_frame, track.child_frame_id)
            if extrinsics is None:
                _log.warning(_NOT_JOINED, self._topic.name, track.child_frame_id, self._base_frame)
        return track if extrinsics is None else track.of_base(self._base_frame, extrinsics)


def read_static_transforms(bag: Bag, *beside: str) -> TransformTree:
    """Read the /tf_static of the robot with the topics `beside`; broken messages are left out."""
    transforms = _Transforms(bag.decode)
    for raw in bag.messages(static_tf_topics(bag.topics, *beside)):
        with suppress(BrokenMessage, PoseError):
            transforms.add_static(raw)
    return transforms.tree


def header_time(header: Any) -> int:
    """Stamp of a header in nanoseconds."""
    return int(header.stamp.sec * 10**9 + header.stamp.nanosec)


class _Reader:
    """Takes the raw messages of a topic one by one."""

    def __init__(self, decode: Callable[[RawMessage], Any], by_recording: bool = False) -> None:
        self._decode = decode
        self._by_recording = by_recording

    def _times(self, header: Any, raw: RawMessage) -> tuple[int, int]:
        """Stamp and time of recording in nanoseconds."""
        return raw.received if self._by_recording else header_time(header), raw.received


class _StampedPoses(_Reader):
    """Odometry, PoseStamped, PoseWithCovarianceStamped."""

    def __init__(self, decode: Callable[[RawMessage], Any], by_recording: bool = False) -> None:
        super().__init__(decode, by_recording)
        self._logs: dict[Frames, PoseLog] = {}

    def add(self, raw: RawMessage) -> None:
        message = self._decode(raw)
        pose = getattr(message.pose, "pose", message.pose)
        frames = (frame_name(message.header.frame_id), frame_name(getattr(message, "child_frame_id", "")))
        log = self._logs.setdefault(frames, PoseLog())
        log.add_pose(*self._times(message.header, raw), pose.position, pose.orientation)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        if not self._logs:
            return PoseTrack(Trajectory.from_poses([]), "", "")
        counts = Counter({frames: len(log) for frames, log in self._logs.items()})
        frames = main_frames(counts)
        if others := counts.total() - counts.pop(frames):
            skipped[OTHER_FRAMES] += others
            _log.error("%s", describe(frames, counts))
        log = self._logs[frames]
        trajectory = log.trajectory(skipped)
        return PoseTrack(trajectory, *frames, lag=log.clock.lag, remarks=[log.clock.remark])


class _LongestPath(_Reader):
    """Path: a SLAM program repeats it, longer and better each time, so that one message has it all."""

    _longest: RawMessage | None = None

    def add(self, raw: RawMessage) -> None:
        if self._longest is None or len(raw.data) >= len(self._longest.data):
            self._longest = raw

    def track(self, skipped: Counter[str]) -> PoseTrack:
        log, frame = PoseLog(), ""
        try:
            path = self._decode(self._longest) if self._longest else None
        except BrokenMessage:
            skipped[BROKEN_POSE] += 1
            path = None
        if path is not None:
            frame = frame_name(path.header.frame_id)
            for stamped in path.poses:
                if stamp := header_time(stamped.header):
                    log.add_pose(stamp, stamp, stamped.pose.position, stamped.pose.orientation)
                else:
                    skipped["path pose without a stamp"] += 1
        return PoseTrack(log.trajectory(skipped), frame, "")


class _Fixes(_Reader):
    """NavSatFix: metres east, north and up of the first fix, looking where the robot goes."""

    def __init__(self, decode: Callable[[RawMessage], Any], by_recording: bool = False) -> None:
        super().__init__(decode, by_recording)
        self._fixes = MessageLog(5)
        self._antenna = ""

    def add(self, raw: RawMessage) -> None:
        fix = self._decode(raw)
        self._antenna = self._antenna or frame_name(fix.header.frame_id)
        kind = (fix.status.status, fix.position_covariance_type)
        self._fixes.add(*self._times(fix.header, raw), fix.latitude, fix.longitude, fix.altitude, *kind)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        stamps, received, values = self._fixes.columns()
        is_fix = has_fix(*values[:, [0, 1, 3, 4]].T)
        count_skips(skipped, {NO_FIX: ~is_fix})
        if not is_fix.any():
            return PoseTrack(Trajectory.from_poses([]), "", self._antenna)
        geodetic = _with_heights(values[is_fix, :3])
        clock = judge_recording(stamps[is_fix], received[is_fix])
        # A false first fix must not be the origin: metres of a jump are told from those of any origin.
        origin = np.median(geodetic, axis=0)
        stamps, rows = kept_by(clock, np.hstack([east_north_up(geodetic, origin), geodetic]), skipped)
        positions = east_north_up(rows[:, 3:], origin=rows[0, 3:])
        headings = headings_of_travel(positions[:, :2])
        quaternions = Rotation.from_euler("z", headings[:, None]).as_quat()
        trajectory = Trajectory(stamps, positions, quaternions)
        return PoseTrack(trajectory, "", self._antenna, False, clock.lag, [clock.remark])


def _with_heights(geodetic: np.ndarray) -> np.ndarray:
    """Fill in unknown heights, NaN in a fix of two dimensions, with the last known one; (N, 3)."""
    known = np.flatnonzero(np.isfinite(geodetic[:, 2]))
    heights = np.zeros(len(geodetic))
    if len(known):
        last_known = np.searchsorted(known, np.arange(len(heights)), side="right") - 1
        heights = geodetic[known[last_known.clip(0)], 2]
    return np.column_stack([geodetic[:, :2], heights])


_READERS: dict[str, type[_StampedPoses | _LongestPath | _Fixes]] = {
    "nav_msgs/Path": _LongestPath,
    "sensor_msgs/NavSatFix": _Fixes,
}


class _Transforms(_Reader):
    """TFMessage: transforms that move, and transforms that hold for the whole drive."""

    def __init__(self, decode: Callable[[RawMessage], Any], by_recording: bool = False) -> None:
        super().__init__(decode, by_recording)
        self.tree = TransformTree()

    def add(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            move, times = stamped.transform, self._times(stamped.header, raw)
            self.tree.add_moving(*_frames_of(stamped), *times, move.translation, move.rotation)

    def add_static(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            self.tree.add_fixed(*_frames_of(stamped), pose)


def _frames_of(stamped: Any) -> tuple[str, str]:
    return frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
