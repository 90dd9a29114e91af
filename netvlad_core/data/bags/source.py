"""Frames out of a recorded bag: images as they come, each with the robot's pose at its stamp."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

from netvlad_core.data.bags.bag_file import Bag, BrokenMessage, RawMessage, Topic
from netvlad_core.data.bags.calibration import read_camera
from netvlad_core.data.bags.poses import PoseTrack, read_pose_track, stamp_of
from netvlad_core.data.bags.topics import choose_image_topic, choose_pose_topic
from netvlad_core.data.camera import Camera
from netvlad_core.data.frames import Frame, fingerprint_of
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_message
from netvlad_core.data.trajectory import MAX_GAP, Trajectory, read_tum
from netvlad_core.errors import SourceError

_log = logging.getLogger(__name__)


class BagSource:
    """Images of one topic of a bag, a `FrameSource`; see there for the attributes.

    Poses are read when the bag is opened, images one at a time on each iteration: memory does not grow with
    the images of the bag.
    """

    is_stream = True

    def __init__(
        self,
        path: Path,
        image_topic: Topic,
        trajectory: Trajectory | None,
        *,
        frame_id: str,
        description: str,
        fingerprint: str,
        max_gap: float = MAX_GAP,
        poses_required: bool = True,
        pose_faults: Counter[str] | None = None,
        base_frame: str = "base_link",
    ) -> None:
        self.description = description
        self.fingerprint = fingerprint
        self.frame_id = frame_id
        self.trajectory = trajectory
        self._pose_faults = Counter(pose_faults)
        self.skipped = Counter(pose_faults)
        self._path = path
        self._image_topic = image_topic
        self._max_gap = max_gap
        self._poses_required = poses_required
        self._base_frame = base_frame

    @classmethod
    def open(
        cls,
        path: Path | str,
        image_topic: str | None = None,
        pose_topic: str | None = None,
        *,
        trajectory: Path | None = None,
        extrinsics: Pose | None = None,
        base_frame: str = "base_link",
        map_frame: str | None = None,
        max_gap: float = MAX_GAP,
        poses_required: bool = True,
    ) -> BagSource:
        """Choose the topics and read the poses.

        Parameters
        ----------
        path : rosbag2 directory, .mcap or .db3 file, or ROS 1 .bag.
        image_topic : None for the only camera. A topic that is there in its compressed form only is taken so.
        pose_topic : Odometry, PoseStamped, PoseWithCovarianceStamped, Path, NavSatFix or TFMessage; None for
            the only one of these, TF last.
        trajectory : a TUM file to take the poses from instead.
        extrinsics : base_frame <- the frame whose poses are given; None takes it from /tf_static, and the
            poses as they are where it is not there. TF is followed to the base frame without it.
        base_frame : name of the robot's frame.
        map_frame : name of the frame in which poses are wanted; None for the one in which they are given.
        max_gap : seconds, see `Trajectory.sampled_at`.
        poses_required : without it images without a pose are yielded too.

        Raises
        ------
        SourceError
            If the bag is damaged or empty, or does not hold the images or poses.
        """
        path = Path(path).expanduser()
        skipped: Counter[str] = Counter()
        track: PoseTrack | None = None
        files = [Path(trajectory).expanduser()] if trajectory else []
        poses_from = str(trajectory)
        with Bag(path) as bag:
            images = choose_image_topic(bag.topics, image_topic)
            try:
                if files:
                    track = _track_of_file(files[0], base_frame, extrinsics)
                elif topic := choose_pose_topic(bag.topics, pose_topic):
                    poses_from = topic.name
                    track = read_pose_track(
                        bag,
                        topic,
                        base_frame=base_frame,
                        map_frame=map_frame,
                        extrinsics=extrinsics,
                        max_gap=max_gap,
                        skipped=skipped,
                    )
            except SourceError as error:
                # Poses that nobody asked for may be missing or not to be told apart.
                if poses_required or files or pose_topic:
                    raise
                _log.warning("going on without poses: %s", error)
        if poses_required and (track is None or not len(track.trajectory)):
            raise SourceError(_no_poses(path, poses_from, track, skipped))
        given_frame = track.frame_id if track else ""
        if map_frame and given_frame and given_frame != map_frame:
            raise SourceError(
                f"poses are wanted in {map_frame}, those of {poses_from} are in {given_frame}; choose "
                "another pose topic, e.g. /tf, or leave the map frame open"
            )
        mounting = None if extrinsics is None else (*extrinsics.position, *extrinsics.quaternion)
        options = (images.name, poses_from, mounting, base_frame, map_frame, max_gap, poses_required)
        return cls(
            path,
            images,
            track.trajectory if track else None,
            frame_id=given_frame or map_frame or "map",
            description=f"bag {path.absolute().name}, images of {images.name}, "
            + (f"poses of {poses_from}" if track else "no poses"),
            fingerprint=fingerprint_of([*bag.files, *files], options),
            max_gap=max_gap,
            poses_required=poses_required,
            pose_faults=skipped,
            base_frame=base_frame,
        )

    @property
    def image_topic(self) -> str:
        """Topic that is read, found or given."""
        return self._image_topic.name

    @cached_property
    def camera(self) -> Camera | None:
        return read_camera(self._path, self.image_topic, self._base_frame)

    def __len__(self) -> int:
        return self._image_topic.count

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        self.skipped.update(self._pose_faults)
        latest, index = 0, -1
        with Bag(self._path) as bag:
            for index, raw in enumerate(bag.messages([self._image_topic.name])):
                frame = self._frame(bag, raw, index, latest)
                if frame is not None:
                    latest = frame.stamp
                    yield frame
        if index < 0:
            raise SourceError(
                f"{self._path} announces {self._image_topic} but its storage holds none: metadata.yaml is of "
                "another recording or damaged; move it away and open the bag again"
            )

    def _frame(self, bag: Bag, raw: RawMessage, index: int, latest: int) -> Frame | None:
        """Make a frame of a message, or count why not; `latest` is the stamp of the frame before."""
        try:
            message = bag.decode(raw)
        except BrokenMessage:
            self.skipped["broken image message"] += 1
            return None
        stamp = stamp_of(message.header, raw.received)
        if stamp <= latest:
            self.skipped["image stamp repeated or going backwards"] += 1
            return None
        pose = self.trajectory.at(stamp, self._max_gap) if self.trajectory is not None else None
        if pose is None and self._poses_required:
            self.skipped["image without a pose at its stamp"] += 1
            return None
        return Frame(f"{self._image_topic.name}#{index}", stamp, pose, partial(decode_message, message))


def _track_of_file(path: Path, base_frame: str, extrinsics: Pose | None) -> PoseTrack:
    track = PoseTrack(read_tum(path), "", "")
    return track if extrinsics is None else track.of_base(base_frame, extrinsics)


def _no_poses(path: Path, poses_from: str, track: PoseTrack | None, skipped: Counter[str]) -> str:
    if track is None:
        return f"{path} holds no poses; record odometry or TF with the images, or give a TUM trajectory"
    reasons = ", ".join(f"{count} x {reason}" for reason, count in skipped.items()) or "no messages"
    return f"no usable pose on {poses_from} of {path}: {reasons}"
