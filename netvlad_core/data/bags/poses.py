"""The trajectory of the robot out of the pose messages of a bag."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

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
from netvlad_core.data.pose_log import PoseLog, count_skips, kept_by
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.data.transforms import TransformTree, frame_name, pose_of
from netvlad_core.errors import BrokenMessage, PoseError

_log = logging.getLogger(__name__)
_NOT_JOINED = (
    "poses of %s are of %s, which /tf_static does not join to %s: taken as they are; or give extrinsics"
)

BROKEN = "broken pose message"

# Takes a message out of a bag.
Taker = Callable[[RawMessage], None]


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Trajectory of a frame on the robot.

    Attributes
    ----------
    trajectory : frame_id <- child_frame_id.
    frame_id, child_frame_id : names, empty if the messages do not tell.
    has_own_rotation : False if the rotation is the robot's heading, however the sensor is mounted.
    lag : usual time from stamp to recording in seconds, None if it is not known.
    remarks : sentences about what is unusual in the messages.
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
    """Reads the poses of the base frame in one pass over a bag that leaves the pictures alone.

    Attributes
    ----------
    takers : topic to the function that takes its messages; raises BrokenMessage and PoseError.
    """

    def __init__(
        self, bag: Bag, topic: Topic, base_frame: str, skipped: Counter[str], by_recording: bool = False
    ) -> None:
        """Prepare to read.

        Parameters
        ----------
        skipped : takes the reasons and counts of unusable poses.
        by_recording : whether the time of recording stands for the stamps.
        """
        self._topic = topic
        self._base_frame = base_frame
        self._skipped = skipped
        self._tree = TransformTree()
        stamp_of = _recording_time if by_recording else header_time
        transforms = _Transforms(bag.decode, self._tree, stamp_of)
        self._poses = _POSE_READERS.get(topic.type, _StampedPoses)(bag.decode, stamp_of)
        self._is_tf = topic.type in TF_TYPES
        statics = static_tf_topics(bag.topics, topic.name)
        self.takers: dict[str, Taker] = dict.fromkeys(statics, transforms.add_static)
        self.takers[topic.name] = transforms.add_moving if self._is_tf else self._poses.add

    def track(self, map_frame: str | None, extrinsics: Pose | None, max_gap: float) -> PoseTrack:
        """Return what was read.

        Parameters
        ----------
        map_frame, max_gap : for TF, see `TransformTree.trajectory`.
        extrinsics : base_frame <- the frame that the messages give poses of; None looks in the static
            transforms, and takes the poses for those of the base frame if nothing is known.

        Raises
        ------
        SourceError
            If TF does not join the frames.
        """
        if self._is_tf:
            frame, trajectory = self._tree.trajectory(self._base_frame, map_frame, max_gap, self._skipped)
            return PoseTrack(
                trajectory, frame, self._base_frame, lag=self._tree.lag, remarks=self._tree.remarks
            )
        track = self._poses.track(self._skipped)
        track.remarks.extend(self._tree.remarks)
        if extrinsics is None and track.child_frame_id:
            extrinsics = self._tree.fixed_between(self._base_frame, track.child_frame_id)
            if extrinsics is None:
                _log.warning(_NOT_JOINED, self._topic.name, track.child_frame_id, self._base_frame)
        return track if extrinsics is None else track.of_base(self._base_frame, extrinsics)


def read_static_transforms(bag: Bag, *beside: str) -> TransformTree:
    """All that the /tf_static of the robot with the topics `beside` says; broken messages are left out."""
    tree = TransformTree()
    transforms = _Transforms(bag.decode, tree, header_time)
    for raw in bag.messages(static_tf_topics(bag.topics, *beside)):
        with suppress(BrokenMessage, PoseError):
            transforms.add_static(raw)
    return tree


def header_time(header: Any, _: int) -> int:
    """Stamp of a header in nanoseconds."""
    return int(header.stamp.sec * 10**9 + header.stamp.nanosec)


def _recording_time(_: Any, received: int) -> int:
    return received


_StampOf = Callable[[Any, int], int]


class _PoseReader(Protocol):
    """Takes the raw messages of a topic one by one and makes a track of them."""

    def add(self, raw: RawMessage) -> None: ...

    def track(self, skipped: Counter[str]) -> PoseTrack: ...


class _StampedPoses:
    """Odometry, PoseStamped, PoseWithCovarianceStamped."""

    def __init__(self, decode: Callable[[RawMessage], Any], stamp_of: _StampOf) -> None:
        self._decode = decode
        self._stamp_of = stamp_of
        self._logs: dict[Frames, PoseLog] = {}

    def add(self, raw: RawMessage) -> None:
        message = self._decode(raw)
        pose = message.pose
        pose = getattr(pose, "pose", pose)
        frames = (frame_name(message.header.frame_id), frame_name(getattr(message, "child_frame_id", "")))
        log = self._logs.setdefault(frames, PoseLog())
        log.add(self._stamp_of(message.header, raw.received), raw.received, pose.position, pose.orientation)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        counts = Counter({frames: len(log) for frames, log in self._logs.items()})
        if not counts:
            return PoseTrack(PoseLog().trajectory(skipped), "", "")
        frames = main_frames(counts)
        del counts[frames]
        if counts:
            skipped[OTHER_FRAMES] += sum(counts.values())
            _log.error("%s", describe(frames, counts))
        log = self._logs[frames]
        trajectory = log.trajectory(skipped)
        return PoseTrack(trajectory, *frames, lag=log.clock.lag, remarks=log.remarks)


class _LongestPath:
    """Path: a SLAM program repeats it, longer and better each time, so that one message has it all."""

    def __init__(self, decode: Callable[[RawMessage], Any], stamp_of: _StampOf) -> None:
        self._decode = decode
        self._longest: RawMessage | None = None

    def add(self, raw: RawMessage) -> None:
        if self._longest is None or len(raw.data) >= len(self._longest.data):
            self._longest = raw

    def track(self, skipped: Counter[str]) -> PoseTrack:
        log = PoseLog()
        if self._longest is None:
            return PoseTrack(log.trajectory(skipped), "", "")
        try:
            path = self._decode(self._longest)
        except BrokenMessage:
            skipped[BROKEN] += 1
            return PoseTrack(log.trajectory(skipped), "", "")
        for stamped in path.poses:
            if stamp := header_time(stamped.header, 0):
                log.add(stamp, stamp, stamped.pose.position, stamped.pose.orientation)
            else:
                skipped["path pose without a stamp"] += 1
        return PoseTrack(log.trajectory(skipped), frame_name(path.header.frame_id), "")


class _Fixes:
    """NavSatFix: metres east, north and up of the first fix, looking where the robot goes."""

    def __init__(self, decode: Callable[[RawMessage], Any], stamp_of: _StampOf) -> None:
        self._decode = decode
        self._stamp_of = stamp_of
        self._times = array("q")
        self._values = array("d")
        self._antenna = ""

    def add(self, raw: RawMessage) -> None:
        fix = self._decode(raw)
        self._antenna = self._antenna or frame_name(fix.header.frame_id)
        self._times.extend((self._stamp_of(fix.header, raw.received), raw.received))
        values = (fix.latitude, fix.longitude, fix.altitude, fix.status.status, fix.position_covariance_type)
        self._values.extend(values)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        times = np.array(self._times, dtype=np.int64).reshape(-1, 2)
        values = np.array(self._values, dtype=np.float64).reshape(-1, 5)
        is_fix = has_fix(*values[:, [0, 1, 3, 4]].T)
        count_skips(skipped, {NO_FIX: ~is_fix})
        times, geodetic = times[is_fix], _with_heights(values[is_fix, :3])
        if not len(times):
            return PoseTrack(PoseLog().trajectory(skipped), "", self._antenna)
        clock = judge_recording(times[:, 0], times[:, 1])
        # A false first fix must not be the origin: metres of a jump are told from those of any origin.
        origin = np.median(geodetic, axis=0)
        stamps, rows = kept_by(clock, np.hstack([east_north_up(geodetic, origin), geodetic]), skipped)
        positions = east_north_up(rows[:, 3:], origin=rows[0, 3:])
        headings = headings_of_travel(positions[:, :2])
        quaternions = Rotation.from_euler("z", headings[:, None]).as_quat()
        trajectory = Trajectory(stamps, positions, quaternions)
        return PoseTrack(trajectory, "", self._antenna, False, clock.lag, [clock.remark] * bool(clock.remark))


def _with_heights(geodetic: np.ndarray) -> np.ndarray:
    """Fill in unknown heights, NaN in a fix of two dimensions, with the last known one; (N, 3)."""
    heights = geodetic[:, 2].copy()
    known = np.flatnonzero(np.isfinite(heights))
    if not len(known):
        heights[:] = 0.0
    else:
        last_known = np.searchsorted(known, np.arange(len(heights)), side="right") - 1
        heights = heights[known[last_known.clip(0)]]
    return np.column_stack([geodetic[:, :2], heights])


_POSE_READERS: dict[str, Callable[[Callable[[RawMessage], Any], _StampOf], _PoseReader]] = {
    "nav_msgs/Path": _LongestPath,
    "sensor_msgs/NavSatFix": _Fixes,
}


class _Transforms:
    """TFMessage: transforms that move, and transforms that hold for the whole drive."""

    def __init__(self, decode: Callable[[RawMessage], Any], tree: TransformTree, stamp_of: _StampOf) -> None:
        self._decode = decode
        self._tree = tree
        self._stamp_of = stamp_of

    def add_moving(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            move, stamp = stamped.transform, self._stamp_of(stamped.header, raw.received)
            self._tree.add_moving(*_frames_of(stamped), stamp, raw.received, move.translation, move.rotation)

    def add_static(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            self._tree.add_fixed(*_frames_of(stamped), pose)


def _frames_of(stamped: Any) -> tuple[str, str]:
    return frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
