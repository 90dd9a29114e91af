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
    "the poses of %s are those of the frame %r, which no static transform joins to %r: they are taken for "
    "poses of the robot's base; give extrinsics if the two differ"
)

BROKEN_POSE = "broken pose message"
_HIGHEST = 1e5  # metres


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
    origin : (3,) float64, where on earth the frame touches it, see `east_north_up`; None if it is not known.
    """

    trajectory: Trajectory
    frame_id: str
    child_frame_id: str
    has_own_rotation: bool = True
    lag: float | None = None
    remarks: list[str] = field(default_factory=list)
    origin: np.ndarray | None = None

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


@dataclass
class Reader:
    """Takes the raw messages of a topic one by one; stamps may be the times of recording."""

    decode: Callable[[RawMessage], Any]
    by_recording: bool = False

    def times(self, header: Any, raw: RawMessage) -> tuple[int, int]:
        """Stamp and time of recording in nanoseconds."""
        return raw.received if self.by_recording else header_time(header), raw.received


@dataclass
class _StampedPoses(Reader):
    """Odometry, PoseStamped, PoseWithCovarianceStamped."""

    logs: dict[Frames, PoseLog] = field(default_factory=dict)

    def add(self, raw: RawMessage) -> None:
        message = self.decode(raw)
        pose = getattr(message.pose, "pose", message.pose)
        frames = (frame_name(message.header.frame_id), frame_name(getattr(message, "child_frame_id", "")))
        log = self.logs.setdefault(frames, PoseLog())
        log.add_pose(*self.times(message.header, raw), pose.position, pose.orientation)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        if not self.logs:
            return PoseTrack(Trajectory.from_poses([]), "", "")
        counts = Counter({frames: len(log) for frames, log in self.logs.items()})
        frames = main_frames(counts)
        if others := counts.total() - counts.pop(frames):
            skipped[OTHER_FRAMES] += others
            _log.error("%s", describe(frames, counts))
        log = self.logs[frames]
        trajectory = log.trajectory(skipped)
        return PoseTrack(trajectory, *frames, lag=log.clock.lag, remarks=[log.clock.remark])


@dataclass
class _LongestPath(Reader):
    """Path: a SLAM program repeats it, longer and better each time, so that one message has it all."""

    longest: RawMessage | None = None

    def add(self, raw: RawMessage) -> None:
        if self.longest is None or len(raw.data) >= len(self.longest.data):
            self.longest = raw

    def track(self, skipped: Counter[str]) -> PoseTrack:
        log, frame = PoseLog(), ""
        try:
            path = self.decode(self.longest) if self.longest else None
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


@dataclass
class _Fixes(Reader):
    """NavSatFix: metres east, north and up of the first fix, looking where the robot goes."""

    fixes: MessageLog = field(default_factory=lambda: MessageLog(5))
    antenna: str = ""

    def add(self, raw: RawMessage) -> None:
        fix = self.decode(raw)
        self.antenna = self.antenna or frame_name(fix.header.frame_id)
        kind = (fix.status.status, fix.position_covariance_type)
        self.fixes.add(*self.times(fix.header, raw), fix.latitude, fix.longitude, fix.altitude, *kind)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        stamps, received, values = self.fixes.columns()
        is_fix = has_fix(*values[:, [0, 1, 3, 4]].T)
        count_skips(skipped, {NO_FIX: ~is_fix})
        if not is_fix.any():
            return PoseTrack(Trajectory.from_poses([]), "", self.antenna)
        geodetic = _with_heights(values[is_fix, :3])
        clock = judge_recording(stamps[is_fix], received[is_fix])
        # A false first fix must not be the origin: metres of a jump are told from those of any origin.
        origin = np.median(geodetic, axis=0)
        stamps, rows = kept_by(clock, np.hstack([east_north_up(geodetic, origin), geodetic]), skipped)
        positions = east_north_up(rows[:, 3:], origin=rows[0, 3:])
        headings = headings_of_travel(positions[:, :2])
        quaternions = Rotation.from_euler("z", headings[:, None]).as_quat()
        trajectory = Trajectory(stamps, positions, quaternions)
        return PoseTrack(trajectory, "", self.antenna, False, clock.lag, [clock.remark], rows[0, 3:])


def _with_heights(geodetic: np.ndarray) -> np.ndarray:
    """Fill in unknown heights, NaN in a fix of two dimensions, or no heights of a robot; (N, 3).

    The last known one stands for each.
    """
    known = np.flatnonzero(np.abs(geodetic[:, 2]) <= _HIGHEST)
    heights = np.zeros(len(geodetic))
    if len(known):
        last_known = np.searchsorted(known, np.arange(len(heights)), side="right") - 1
        heights = geodetic[known[last_known.clip(0)], 2]
    return np.column_stack([geodetic[:, :2], heights])


_READERS: dict[str, type[_StampedPoses | _LongestPath | _Fixes]] = {
    "nav_msgs/Path": _LongestPath,
    "sensor_msgs/NavSatFix": _Fixes,
}


@dataclass
class _Transforms(Reader):
    """TFMessage: transforms that move, and transforms that hold for the whole drive."""

    tree: TransformTree = field(default_factory=TransformTree)

    def add(self, raw: RawMessage) -> None:
        for stamped in self.decode(raw).transforms:
            move, times = stamped.transform, self.times(stamped.header, raw)
            self.tree.add_moving(*_frames_of(stamped), *times, move.translation, move.rotation)

    def add_static(self, raw: RawMessage) -> None:
        for stamped in self.decode(raw).transforms:
            pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            self.tree.add_fixed(*_frames_of(stamped), pose)


def _frames_of(stamped: Any) -> tuple[str, str]:
    return frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
