"""What a stored map and a drive that goes on share: places with descriptors, poses and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_picture
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.search import Rows


@dataclass(frozen=True)
class Match:
    """A place that resembles the query.

    Attributes
    ----------
    place : row of the place.
    stamp : time of the place's image, nanoseconds.
    similarity : inner product of the descriptors, in [-1, 1].
    pose : map <- base_link of the place, None in a map without poses.
    inliers : local features that agree with one geometry of query and place; 0 without verification.
    log_ratio : log of the likelihood ratio of these inliers in nats, see `geometry/evidence.py`; None without
        verification, and if the map has taught none.
    support : factor by which they raise the score.
    """

    place: int
    stamp: int
    similarity: float
    pose: Pose | None
    inliers: int = 0
    log_ratio: float | None = None
    support: float = 1.0

    @property
    def score(self) -> float:
        """Similarity times the root of the inliers; if the map has taught what chance gives, beyond that.

        Retrieval and geometry see different things, and the product is better than either. A count is
        uncertain by its root, so a difference of roots means the same among few inliers as among many.
        """
        if self.log_ratio is not None:
            return self.similarity * (self.support if self.similarity > 0 else 1.0)
        return self.similarity * float(np.sqrt(max(1, self.inliers)))


def one_or_each(cameras: Sequence[Camera | None]) -> tuple[Camera | None, list[Camera | None]]:
    """What `Places` takes as `camera` and `cameras` if these are those of its sessions."""
    if len({None if camera is None else camera.to_json() for camera in cameras}) > 1:
        return None, list(cameras)
    return cameras[0], []


class Places:
    """Places in the order of driving.

    Attributes
    ----------
    descriptors : (N, D) float32, an array or rows that are read when they are asked for.
    stamps : (N,) int64, nanoseconds.
    poses : (N, 7) float64, map <- base_link, x y z qx qy qz qw; NaN without a pose.
    camera : calibration of all drives, None if it is unknown or differs between them.
    cameras : calibration of each session, or None, if they differ; empty otherwise.
    images : JPEG files of all places, None if not every place has one.
    sessions : (N,) int32, which drive each place is from; by default all are from one, 0.
    features : local features of all places, None if they were not stored.
    """

    def __init__(
        self,
        descriptors: Rows,
        stamps: np.ndarray,
        poses: np.ndarray,
        camera: Camera | None = None,
        images: Sequence[bytes] | None = None,
        sessions: np.ndarray | None = None,
        cameras: Sequence[Camera | None] = (),
        features: StoredFeatures | None = None,
    ) -> None:
        self.descriptors = descriptors
        self.stamps = stamps
        self.poses = poses
        self.camera = camera
        self.cameras = cameras
        self.images = images
        self.features = features
        self.sessions = np.zeros(len(stamps), np.int32) if sessions is None else sessions

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def has_poses(self) -> bool:
        """Whether every place has a pose."""
        return bool(len(self)) and bool(np.isfinite(self.poses[:, 0]).all())

    def pose(self, place: int) -> Pose | None:
        """Pose map <- base_link of a place, or None."""
        row = self.poses[place]
        return Pose(np.array(row[:3]), np.array(row[3:])) if np.isfinite(row).all() else None

    def matches(self, places: Sequence[int] | np.ndarray, similarities: np.ndarray) -> list[Match]:
        """Matches of places (K,) int with their similarities (K,), which rounding may have put beyond 1."""
        return [
            Match(int(place), int(self.stamps[place]), float(similarity), self.pose(place))
            for place, similarity in zip(places, np.clip(similarities, -1.0, 1.0), strict=True)
        ]

    def image(self, place: int) -> np.ndarray | None:
        """Image of a place, uint8 RGB (H, W, 3), or None if it was not kept."""
        return None if self.images is None else decode_picture(self.images[place])

    def stored_features(self, place: int) -> PackedFeatures | None:
        """Local features of a place, or None if they were not stored."""
        return None if self.features is None else self.features[place]

    def camera_of(self, place: int) -> Camera | None:
        """Calibration of the camera that took the image of a place, None if it is not known."""
        return self.camera_of_session(int(self.sessions[place]))

    def camera_of_session(self, session: int) -> Camera | None:
        """Calibration of the camera of a drive, None if it is not known."""
        return self.cameras[session] if self.cameras else self.camera

    @property
    def has_camera(self) -> bool:
        """Whether the calibration of any drive is known."""
        return self.camera is not None or any(self.cameras)
