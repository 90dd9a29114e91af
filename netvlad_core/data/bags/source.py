"""Frames of a recorded bag: its images, each with the pose of the robot at its stamp."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from netvlad_core.data.bags.bag_file import Bag, Topic
from netvlad_core.data.bags.poses import BROKEN_POSE, PoseRecording, PoseTrack, Reader, read_static_transforms
from netvlad_core.data.bags.storage import RawMessage
from netvlad_core.data.bags.topics import choose_image_topic, choose_pose_topic, existing, named
from netvlad_core.data.camera import Camera, is_rectified
from netvlad_core.data.frames import Frame, fingerprint_of
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_message
from netvlad_core.data.judges.clocks import RecordedClock, clock_difference, judge_recording, span
from netvlad_core.data.judges.positions import doubts_about_units
from netvlad_core.data.pose_log import MessageLog
from netvlad_core.data.trajectory import MAX_GAP, read_tum
from netvlad_core.data.transforms import frame_name
from netvlad_core.errors import BrokenMessage, CameraError, PoseError, SourceError
from netvlad_core.files import user_path

_log = logging.getLogger(__name__)

BROKEN_IMAGE = "broken image message"
MISSING_IMAGE, MISSING_POSE = "image missing from the file", "pose message missing from the file"
NO_POSE = "image without a pose at its stamp"
# Metres; a robot that does not leave them has not driven, or they are degrees.
_STANDING = 1.0

_CALIBRATION = "sensor_msgs/CameraInfo"
# Drivers send a few messages before their calibration is loaded; most of these have it.
_ENOUGH = 50


@dataclass(frozen=True)
class SourceOptions:
    """What to take from a bag; collections of images need none of it.

    Attributes
    ----------
    image_topic : topic, raw or compressed; None for the only camera.
    pose_topic : Odometry, PoseStamped, PoseWithCovarianceStamped, Path, NavSatFix or TFMessage; None for the
        only one of these, TF last.
    trajectory : TUM file with the poses, instead of a topic.
    extrinsics : base_frame <- the frame whose poses are given; None looks in /tf_static, and takes the poses
        as they are if it is not there. TF is followed to the base frame without it.
    base_frame : name of the robot's frame.
    map_frame : name of the frame of the poses; None for the one in which they are given.
    max_gap : seconds, see `Trajectory.sampled_at`.
    poses_required : whether images without a pose are left out.
    recording_time : topics whose stamps are of another clock; the time of recording stands for them.

    Examples
    --------
    >>> from netvlad_core import SourceOptions
    >>> options = SourceOptions(image_topic="/camera/image_raw", pose_topic="/odom")
    >>> options.base_frame
    'base_link'
    """

    image_topic: str | None = None
    pose_topic: str | None = None
    trajectory: Path | None = None
    extrinsics: Pose | None = None
    base_frame: str = "base_link"
    map_frame: str | None = None
    max_gap: float = MAX_GAP
    poses_required: bool = True
    recording_time: tuple[str, ...] = ()


class BagSource:
    """Images of one topic of a bag, a `FrameSource`; see there for the attributes.

    Poses and stamps are read and judged when the bag is opened, pictures one at a time on each iteration:
    memory does not grow with the pictures of the bag.
    """

    is_stream = True

    def __init__(
        self, bag: Bag, topic: Topic, images: _Images, poses: _Poses, options: SourceOptions
    ) -> None:
        """Join what has been read, see `open`."""
        track = poses.track
        clock, self._stamps, self._reasons = images.judge()
        self.frame_id = (track.frame_id if track else "") or options.map_frame or "map"
        self.origin = None if track is None or track.origin is None else track.origin.tolist()
        origin = f"poses of {poses.origin}" if track else "no poses"
        self.description = f"bag {bag.path.absolute().name}, images of {topic.name}, {origin}"
        self.fingerprint = _fingerprint(bag, topic, poses, options)
        self.remark = ""
        self._path = bag.path
        self._topic = topic
        self._base_frame, self._origin = options.base_frame, poses.origin
        self._pose_rows = np.full(len(self._reasons), -1)
        if track is not None:
            rows = np.flatnonzero(self._reasons == "")
            self._sampled = track.trajectory.sampled_at(self._stamps[rows], options.max_gap)
            has_pose = np.isin(self._stamps[rows], self._sampled.stamps)
            self._pose_rows[rows[has_pose]] = np.arange(len(self._sampled))
            if doubt := doubts_about_units(self._sampled.positions, within=_STANDING):
                _log.warning("%s: %s", poses.origin, doubt)
            if options.poses_required:
                self._reasons[rows[~has_pose]] = NO_POSE
            if 2 * len(self._sampled) < len(self._reasons):
                self.remark = _compared_clocks(topic.name, clock, poses.origin, track, options.max_gap)
        if clock.remark:
            _log.warning("%s: %s", topic.name, clock.remark)
        missing = Counter({MISSING_IMAGE: bag.missing[topic.name]})
        self.skipped = poses.faults + missing + Counter(self._reasons[self._reasons != ""].tolist())

    @classmethod
    def open(cls, path: Path | str, options: SourceOptions | None = None) -> BagSource:
        """Choose the topics of a bag (see `Bag`), read the stamps and the poses.

        Raises
        ------
        SourceError
            If the bag is damaged or empty, or does not hold the images or poses.
        """
        options = options or SourceOptions()
        with Bag(user_path(path)) as bag:
            by_recording = existing(bag.topics, options.recording_time)
            topic = choose_image_topic(bag.topics, options.image_topic)
            images = _Images(bag.decode, topic.name in by_recording)
            poses = _read_poses(bag, topic, images, options, by_recording)
        track = poses.track
        doubts = [f"{poses.origin}: {text}" for text in (track.remarks if track else ()) if text]
        for remark in [*bag.remarks, *doubts]:
            _log.warning("%s", remark)
        if options.poses_required and (track is None or not len(track.trajectory)):
            raise SourceError(_no_poses(bag, poses))
        given = track.frame_id if track else ""
        if options.map_frame and given and given != options.map_frame:
            raise SourceError(
                f"poses are wanted in {options.map_frame}, those of {poses.origin} are in {given}; choose "
                "another pose topic, e.g. /tf, or leave the map frame open"
            )
        source = cls(bag, topic, images, poses, options)
        if options.poses_required and source.skipped[NO_POSE] and not len(source._sampled):
            raise SourceError(f"no image of {source.description} has a pose at its stamp: {source.remark}")
        return source

    @property
    def image_topic(self) -> str:
        """Name of the topic, found or given."""
        return self._topic.name

    @cached_property
    def camera(self) -> Camera | None:
        return _read_camera(self._path, self.image_topic, self._base_frame, self._origin)

    @property
    def usable(self) -> int:
        return int((self._reasons == "").sum())

    def __len__(self) -> int:
        return self._topic.count

    def __iter__(self) -> Iterator[Frame]:
        with Bag(self._path) as bag:
            for row, (raw, reason) in enumerate(zip(bag.messages([self.image_topic]), self._reasons)):
                if not reason:
                    known = int(self._pose_rows[row])
                    pose = self._sampled[known] if known >= 0 else None
                    decode = partial(decode_message, bag.decode(raw))
                    yield Frame(f"{self.image_topic}#{row}", int(self._stamps[row]), pose, decode)


@dataclass
class _Images(Reader):
    """Stamps of the images of a topic; no more of them is read in advance."""

    log: MessageLog = field(default_factory=lambda: MessageLog(1))

    def add(self, raw: RawMessage) -> None:
        try:
            self.log.add(*self.times(self.decode(raw).header, raw), False)
        except BrokenMessage:
            self.log.add(raw.received, raw.received, True)

    def judge(self) -> tuple[RecordedClock, np.ndarray, np.ndarray]:
        """Return the clock of the sound messages; of all N the stamps and the reasons to leave them out."""
        stamps, received, is_broken = self.log.columns()
        sound = np.flatnonzero(is_broken[:, 0] == 0)
        clock = judge_recording(stamps[sound], received[sound])
        stamps[sound] = clock.stamps
        reasons = np.full(len(stamps), BROKEN_IMAGE, dtype=object)
        reasons[sound] = [reason and f"image {reason}" for reason in clock.reasons]
        return clock, stamps, reasons


class _Poses(NamedTuple):
    """Poses of a drive, their topic or file, and reasons and counts of poses that are left out."""

    origin: str
    track: PoseTrack | None
    faults: Counter[str]


def _read_poses(
    bag: Bag, images: Topic, stamps: _Images, options: SourceOptions, by_recording: Collection[str]
) -> _Poses:
    """Read the stamps of the images and the poses, in one pass."""
    faults: Counter[str] = Counter()
    origin, track, recording = str(options.trajectory or ""), None, None
    is_asked = bool(options.poses_required or options.trajectory or options.pose_topic)
    with _needed(is_asked):
        if options.trajectory:
            track = PoseTrack(read_tum(user_path(options.trajectory)), "", "")
            if options.extrinsics is not None:
                track = track.of_base(options.base_frame, options.extrinsics)
        elif topic := choose_pose_topic(bag.topics, options.pose_topic, images.name):
            origin = topic.name
            recording = PoseRecording(bag, topic, options.base_frame, faults, origin in by_recording)
    takers = {images.name: stamps.add, **(recording.takers if recording else {})}
    for raw in bag.messages(takers):
        try:
            takers[raw.topic](raw)
        except (BrokenMessage, PoseError):
            faults[BROKEN_POSE] += 1
    if missing := bag.missing[origin]:
        faults[MISSING_POSE] += missing
    with _needed(is_asked):
        if recording:
            track = recording.track(options.map_frame, options.extrinsics, options.max_gap)
    return _Poses(origin, track, faults)


@contextmanager
def _needed(is_asked: bool) -> Iterator[None]:
    """Turn a SourceError about poses that nobody asked for into a warning."""
    try:
        yield
    except SourceError as error:
        if is_asked:
            raise
        _log.warning("going on without poses: %s", error)


def _no_poses(bag: Bag, poses: _Poses) -> str:
    if poses.track is None:
        advice = "record odometry or TF with the images, or give a TUM trajectory"
        return f"{bag.path} holds no poses; {advice}; topics in the bag: {named(bag.topics.values())}"
    reasons = ", ".join(f"{count} x {reason}" for reason, count in poses.faults.items()) or "no messages"
    return f"no usable pose on {poses.origin} of {bag.path}: {reasons}"


def _compared_clocks(images: str, clock: RecordedClock, poses: str, track: PoseTrack, max_gap: float) -> str:
    """Sentence about the times of images and poses, which have few instants in common."""
    stamps, known = clock.stamps[clock.is_kept], track.trajectory.stamps
    if not len(stamps) or not len(known):
        return ""
    text = f"images are of {span(stamps)}, poses of {span(known)}"
    if stamps[-1] < known[0] or known[-1] < stamps[0]:
        text += ": they never meet"
    else:
        text += f"; between poses more than {max_gap:g} s apart nothing is known"
    if difference := clock_difference(clock.lag, track.lag):
        # The clock that is farther from that of the recorder is the wrong one.
        wrong = images if abs(clock.lag or 0) > abs(track.lag or 0) else poses
        text += (
            f"; their clocks differ by {abs(difference):.0f} s, but the times of recording fit: try "
            f"--recording-time {wrong}"
        )
    return text


def _fingerprint(bag: Bag, images: Topic, poses: _Poses, options: SourceOptions) -> str:
    mounting = options.extrinsics and (*options.extrinsics.position, *options.extrinsics.quaternion)
    files = [*bag.files, *([user_path(options.trajectory)] if options.trajectory else [])]
    frames = (options.base_frame, options.map_frame, options.recording_time)
    values = (images.name, poses.origin, mounting, *frames, options.max_gap, options.poses_required)
    return fingerprint_of(files, values)


def _read_camera(path: Path, image_topic: str, base_frame: str, pose_topic: str = "") -> Camera | None:
    """Read the calibration of the camera of an image topic.

    Parameters
    ----------
    image_topic : /camera/image_raw or one below it; its calibration is on /camera/camera_info.
    base_frame : name of the robot's frame.
    pose_topic : topic of the same robot, whose namespace the camera may not share.

    Returns
    -------
    None if the bag holds no calibration, or /tf_static does not lead to the base. A camera is of use but not
    required, so what is wrong with it goes to the log.
    """
    cameras: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    with Bag(path) as bag:
        parents = PurePosixPath(image_topic).parents
        beside = [topic for parent in parents if (topic := bag.topics.get(str(parent / "camera_info")))]
        topic = next((topic for topic in beside if topic.type == _CALIBRATION), None)
        if topic is None or not topic.count:
            return None
        tree = read_static_transforms(bag, image_topic, pose_topic)
        for raw in islice(bag.messages([topic.name]), _ENOUGH):
            try:
                info = bag.decode(raw)
                frame = frame_name(info.header.frame_id)
                mounting = tree.fixed_between(base_frame, frame)
                if mounting is None:
                    raise CameraError(f"/tf_static does not join the camera frame {frame} to {base_frame}")
                cameras[Camera.from_message(info, mounting, is_rectified(image_topic)).to_json()] += 1
            except (BrokenMessage, CameraError) as error:
                problems[str(error)] += 1
    if cameras:
        return Camera.from_json(cameras.most_common(1)[0][0])
    _log.warning("going on without the calibration on %s: %s", topic.name, problems.most_common(1)[0][0])
    return None
