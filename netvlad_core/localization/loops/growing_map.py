"""The places of a drive while it goes on, after those of an earlier map if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_picture, encode_jpeg
from netvlad_core.errors import MapError
from netvlad_core.localization.retrieval import Match
from netvlad_core.mapping.place_map import PlaceMap

_FIRST_CAPACITY = 256
# Metres from this drive to the places of an earlier map: their frames have nothing to do with each other.
_APART = np.array([0.0, 0.0, 1e6])


@dataclass(frozen=True, eq=False)
class Keyframes:
    """Places of a drive.

    Attributes
    ----------
    descriptors : (N, D) float32.
    stamps : (N,) int64, nanoseconds.
    poses : (N, 7) float64, x y z qx qy qz qw in one frame.
    images : N JPEG files, or None where they are not kept for all places.
    camera : of the drive, where its calibration is known and that of all places.
    """

    descriptors: np.ndarray
    stamps: np.ndarray
    poses: np.ndarray
    images: Sequence[bytes] | None
    camera: Camera | None


class GrowingMap:
    """Rows in the order of driving: descriptors, stamps, poses and, where asked for, images.

    The rows of an earlier map come first, and their poses lie far off: nobody knows yet how the two belong
    together. Memory is bounded: at `most` rows every second one goes.

    Attributes
    ----------
    earlier : that map, or None.
    camera : of the drive, once its calibration is known.
    way : metres driven so far.
    """

    def __init__(
        self, most: int, earlier: PlaceMap | None = None, keeps_images: bool = False, next_id: int = 0
    ) -> None:
        self.earlier = earlier
        self.camera: Camera | None = None
        self.way = 0.0
        self._most = most
        self._keeps_images = keeps_images
        self._count = self._next_id = 0
        self._descriptors = np.empty((0, 0), np.float32)
        self._ids = np.empty(0, np.int64)
        self._stamps = np.empty(0, np.int64)
        self._poses = np.empty((0, 7))
        self._ways = np.empty(0)
        self._images: list[bytes | None] = []
        if earlier is not None:
            self._remember(earlier)
        self._next_id = max(self._next_id, next_id)

    def _remember(self, earlier: PlaceMap) -> None:
        count = len(earlier)
        self._grow(earlier.header.dimension, count)
        self._descriptors[:count] = earlier.descriptors
        self._ids[:count] = np.arange(count)
        self._stamps[:count] = earlier.stamps
        self._poses[:count] = earlier.poses
        self._poses[:count, :3] += _APART
        steps = np.linalg.norm(np.diff(earlier.poses[:, :3], axis=0), axis=1)
        self._ways[1:count] = np.cumsum(steps)
        self.way = float(self._ways[count - 1])
        self._images = [None] * count  # they stay in its file
        self._count = self._next_id = count

    def __len__(self) -> int:
        return self._count

    @property
    def descriptors(self) -> np.ndarray:
        """(N, D) float32."""
        return self._descriptors[: self._count]

    @property
    def ids(self) -> np.ndarray:
        """(N,) running numbers; those of the earlier map are its rows."""
        return self._ids[: self._count]

    @property
    def stamps(self) -> np.ndarray:
        """(N,) nanoseconds."""
        return self._stamps[: self._count]

    @property
    def poses(self) -> np.ndarray:
        """(N, 7) x y z qx qy qz qw, in the frame of the odometry."""
        return self._poses[: self._count]

    @property
    def ways(self) -> np.ndarray:
        """(N,) metres driven until there."""
        return self._ways[: self._count]

    @property
    def next_id(self) -> int:
        return self._next_id

    @property
    def first_of_drive(self) -> int:
        """The first row that is not of the earlier map."""
        known = 0 if self.earlier is None else len(self.earlier)
        return int(np.searchsorted(self.ids, known))

    def matches(self, rows: Sequence[int] | np.ndarray, similarities: np.ndarray) -> list[Match]:
        """Rows with their similarities, of which (N,) there is one for each row of the map."""
        return [Match(int(r), int(self._stamps[r]), float(similarities[r]), self.pose(r)) for r in rows]

    def pose(self, row: int) -> Pose:
        return Pose(self._poses[row, :3], self._poses[row, 3:])

    def image(self, row: int) -> np.ndarray | None:
        """Image of a row, uint8 RGB (H, W, 3), or None where there is none."""
        if self.earlier is not None and self._ids[row] < len(self.earlier):
            return self.earlier.image(int(self._ids[row]))
        encoded = self._images[row]
        return None if encoded is None else decode_picture(encoded)

    def camera_of(self, row: int) -> Camera | None:
        if self.earlier is not None and self._ids[row] < len(self.earlier):
            return self.earlier.camera
        return self.camera

    def append(self, descriptor: np.ndarray, stamp: int, odometry: Pose, image: np.ndarray | None) -> None:
        """Take a keyframe; `way` must be that of its pose."""
        if self._count == len(self._descriptors):
            self._grow(len(descriptor))
        row = self._count
        self._descriptors[row] = descriptor
        self._ids[row], self._stamps[row], self._ways[row] = self._next_id, stamp, self.way
        self._poses[row] = [*odometry.position, *odometry.quaternion]
        self._images.append(encode_jpeg(image) if self._keeps_images and image is not None else None)
        self._count += 1
        self._next_id += 1

    @property
    def is_full(self) -> bool:
        return self._count >= self._most

    def thin_out(self) -> None:
        """Drop every second row; rows are numbered anew, ids are not."""
        kept = np.arange(0, self._count, 2)
        for array in (self._descriptors, self._ids, self._stamps, self._poses, self._ways):
            array[: len(kept)] = array[kept]
        self._images = self._images[::2]
        self._count = len(kept)

    def _grow(self, dimension: int, least: int = _FIRST_CAPACITY) -> None:
        capacity = max(least, min(max(_FIRST_CAPACITY, 2 * self._count), self._most))
        new = np.empty((capacity, dimension), np.float32)
        if self._count:
            new[: self._count] = self.descriptors
        self._descriptors = new
        self._ids, self._stamps = (_resized(array, capacity) for array in (self._ids, self._stamps))
        self._poses, self._ways = (_resized(array, capacity) for array in (self._poses, self._ways))

    def keyframes(self, joint: Pose | None) -> Keyframes:
        """The drive so far; with an earlier map its places too, in its frame.

        Parameters
        ----------
        joint : frame of the earlier map <- odom, None while it is not known.

        Raises
        ------
        MapError
            If there is no keyframe yet, or an earlier map and no joint.
        """
        first = self.first_of_drive
        if first == self._count:
            raise MapError("there is no keyframe of this drive yet: nothing to save")
        rows = slice(first, self._count)
        descriptors, stamps, poses = (a[rows].copy() for a in (self.descriptors, self.stamps, self.poses))
        images = [image for image in self._images[rows] if image is not None]
        all_images = images if len(images) == len(stamps) else None
        if self.earlier is None:
            return Keyframes(descriptors, stamps, poses, all_images, self.camera)
        if joint is None:
            raise MapError(
                f"no place of the map {self.earlier.path} has been seen on this drive, so it cannot be "
                "extended; drive where it was recorded first"
            )
        poses[:, :3] = joint.rotation.apply(poses[:, :3]) + joint.position
        poses[:, 3:] = (joint.rotation * Rotation.from_quat(poses[:, 3:])).as_quat()
        return Keyframes(
            np.concatenate([self.earlier.descriptors, descriptors]),
            np.concatenate([self.earlier.stamps, stamps]),
            np.concatenate([self.earlier.poses, poses]),
            _joined_images(self.earlier, all_images),
            self.earlier.camera if _is_same(self.earlier.camera, self.camera) else None,
        )


def _joined_images(earlier: PlaceMap, images: Sequence[bytes] | None) -> list[bytes] | None:
    """Those of the map and of the drive; None unless both have them in full."""
    if images is None or earlier.header.store_images != "full":
        return None
    return [*(earlier.encoded_image(place) for place in range(len(earlier))), *images]


def _is_same(one: Camera | None, other: Camera | None) -> bool:
    """Whether one calibration holds for both; a map has room for one."""
    return one is not None and other is not None and one.to_json() == other.to_json()


def _resized(array: np.ndarray, length: int) -> np.ndarray:
    new = np.zeros((length, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    return new
