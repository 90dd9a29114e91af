"""The trajectory of the robot out of the pose messages of a bag."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.bags.bag_file import Bag, BrokenMessage, RawMessage, Topic
from netvlad_core.data.bags.pose_log import PoseLog, count_skips, forward_only
from netvlad_core.data.bags.topics import TF_TYPES, static_tf_topics
from netvlad_core.data.geodesy import east_north_up, headings_of_travel
from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.data.transforms import TransformTree, frame_name, pose_of
from netvlad_core.errors import PoseError

_log = logging.getLogger(__name__)
_NOT_JOINED = (
    "poses of %s are of %s, which /tf_static does not join to %s: taken as they are; or give extrinsics"
)

BROKEN = "broken pose message"
NO_FIX = "satellite fix without a position"


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Trajectory of a frame on the robot.

    Attributes
    ----------
    trajectory : frame_id <- child_frame_id.
    frame_id, child_frame_id : names, empty where the messages do not tell.
    has_own_rotation : False where the rotation is the robot's heading, however the sensor is mounted.
    """

    trajectory: Trajectory
    frame_id: str
    child_frame_id: str
    has_own_rotation: bool = True

    def of_base(self, base_frame: str, extrinsics: Pose) -> PoseTrack:
        """Return the track of the base frame; extrinsics are base_frame <- child_frame_id."""
        if not self.has_own_rotation:
            extrinsics = Pose(extrinsics.position, Pose.identity().quaternion)
        return PoseTrack(self.trajectory.moved(extrinsics.inverse()), self.frame_id, base_frame)


def read_pose_track(
    bag: Bag,
    topic: Topic,
    *,
    base_frame: str,
    map_frame: str | None,
    extrinsics: Pose | None,
    max_gap: float,
    skipped: Counter[str],
) -> PoseTrack:
    """Read the poses of the base frame in one pass that leaves images alone.

    Parameters
    ----------
    base_frame, map_frame, max_gap : for TF, see `TransformTree.trajectory`.
    extrinsics : base_frame <- the frame that the messages give poses of; None looks in the static transforms,
        and takes the poses for those of the base frame where nothing is known.
    skipped : takes the reasons and counts of broken messages and poses.

    Raises
    ------
    SourceError
        If the bag is damaged, or TF does not join the frames.
    """
    tree = TransformTree()
    transforms = _Transforms(bag.decode, tree)
    poses = _POSE_READERS.get(topic.type, _StampedPoses)(bag.decode)
    is_tf = topic.type in TF_TYPES
    takers = {name: transforms.add_static for name in static_tf_topics(bag.topics)}
    takers[topic.name] = transforms.add_moving if is_tf else poses.add
    for raw in bag.messages(takers):
        try:
            takers[raw.topic](raw)
        except (BrokenMessage, PoseError):
            skipped[BROKEN] += 1
    if is_tf:
        frame, trajectory = tree.trajectory(base_frame, map_frame, max_gap, skipped)
        return PoseTrack(trajectory, frame, base_frame)
    track = poses.track(skipped)
    if extrinsics is None and track.child_frame_id:
        extrinsics = tree.fixed_between(base_frame, track.child_frame_id)
        if extrinsics is None:
            _log.warning(_NOT_JOINED, topic.name, track.child_frame_id, base_frame)
    return track if extrinsics is None else track.of_base(base_frame, extrinsics)


def read_static_transforms(bag: Bag) -> TransformTree:
    """All that /tf_static says; broken messages are left out."""
    tree = TransformTree()
    transforms = _Transforms(bag.decode, tree)
    for raw in bag.messages(static_tf_topics(bag.topics)):
        with suppress(BrokenMessage, PoseError):
            transforms.add_static(raw)
    return tree


def stamp_of(header: Any, received: int) -> int:
    """Stamp of a message's header in nanoseconds; where it was never set, the time of recording."""
    stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
    return stamp if stamp > 0 else received


class _PoseReader(Protocol):
    """Takes the raw messages of a topic one by one and makes a track of them."""

    def add(self, raw: RawMessage) -> None: ...

    def track(self, skipped: Counter[str]) -> PoseTrack: ...


class _StampedPoses:
    """Odometry, PoseStamped, PoseWithCovarianceStamped."""

    def __init__(self, decode: Callable[[RawMessage], Any]) -> None:
        self._decode = decode
        self._log = PoseLog()
        self._frames = ("", "")

    def add(self, raw: RawMessage) -> None:
        message = self._decode(raw)
        pose = message.pose
        pose = getattr(pose, "pose", pose)
        if not len(self._log):
            self._frames = (message.header.frame_id, getattr(message, "child_frame_id", ""))
        self._log.add(stamp_of(message.header, raw.received), pose.position, pose.orientation)

    def track(self, skipped: Counter[str]) -> PoseTrack:
        frame, child = map(frame_name, self._frames)
        return PoseTrack(self._log.trajectory(skipped), frame, child)


class _LongestPath:
    """Path: a SLAM program repeats it, longer and better each time, so that one message has it all."""

    def __init__(self, decode: Callable[[RawMessage], Any]) -> None:
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
            if stamp := stamp_of(stamped.header, 0):
                log.add(stamp, stamped.pose.position, stamped.pose.orientation)
            else:
                skipped["path pose without a stamp"] += 1
        return PoseTrack(log.trajectory(skipped), frame_name(path.header.frame_id), "")


class _Fixes:
    """NavSatFix: metres east, north and up of the first fix, looking where the robot goes."""

    def __init__(self, decode: Callable[[RawMessage], Any]) -> None:
        self._decode = decode
        self._stamps = array("q")
        self._values = array("d")
        self._antenna = ""

    def add(self, raw: RawMessage) -> None:
        fix = self._decode(raw)
        self._antenna = self._antenna or frame_name(fix.header.frame_id)
        has_fix = fix.status.status >= 0
        self._stamps.append(stamp_of(fix.header, raw.received))
        self._values.extend((fix.latitude if has_fix else np.nan, fix.longitude, fix.altitude))

    def track(self, skipped: Counter[str]) -> PoseTrack:
        stamps = np.array(self._stamps, dtype=np.int64)
        geodetic = np.array(self._values, dtype=np.float64).reshape(-1, 3)
        is_fix = np.isfinite(geodetic[:, :2]).all(axis=1) & (np.abs(geodetic[:, 0]) <= 90)
        count_skips(skipped, {NO_FIX: ~is_fix})
        stamps, geodetic = stamps[is_fix], geodetic[is_fix]
        kept = forward_only(stamps, skipped)
        stamps, geodetic = stamps[kept], _with_heights(geodetic[kept])
        if not len(stamps):
            return PoseTrack(PoseLog().trajectory(skipped), "", self._antenna)
        positions = east_north_up(geodetic, origin=geodetic[0])
        headings = headings_of_travel(positions[:, :2])
        quaternions = Rotation.from_euler("z", headings[:, None]).as_quat()
        trajectory = Trajectory(stamps, positions, quaternions)
        return PoseTrack(trajectory, "", self._antenna, has_own_rotation=False)


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


_POSE_READERS: dict[str, Callable[[Callable[[RawMessage], Any]], _PoseReader]] = {
    "nav_msgs/Path": _LongestPath,
    "sensor_msgs/NavSatFix": _Fixes,
}


class _Transforms:
    """TFMessage: transforms that move, and transforms that hold for the whole drive."""

    def __init__(self, decode: Callable[[RawMessage], Any], tree: TransformTree) -> None:
        self._decode = decode
        self._tree = tree

    def add_moving(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            move, stamp = stamped.transform, stamp_of(stamped.header, raw.received)
            self._tree.add_moving(*_frames_of(stamped), stamp, move.translation, move.rotation)

    def add_static(self, raw: RawMessage) -> None:
        for stamped in self._decode(raw).transforms:
            pose = pose_of(stamped.transform.translation, stamped.transform.rotation)
            self._tree.add_fixed(*_frames_of(stamped), pose)


def _frames_of(stamped: Any) -> tuple[str, str]:
    return frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
