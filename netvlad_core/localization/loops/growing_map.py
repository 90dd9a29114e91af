"""The places of a drive while it goes on, after those of an earlier map if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_picture, encode_jpeg
from netvlad_core.errors import MapError
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures, unpack
from netvlad_core.localization.loops.drive_rows import DriveRows
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places, one_or_each

_FIRST_CAPACITY = 256
# Metres from this drive to the places of an earlier map: their frames have nothing to do with each other.
_APART = np.array([0.0, 0.0, 1e6])


class GrowingMap(Places):
    """Places of a drive that goes on, with poses in the frame of the odometry.

    The rows of an earlier map come first; their poses lie far off, since nobody knows yet how the two frames
    belong together. They stay; at `most` rows of the drive itself every second one of these goes.

    Attributes
    ----------
    earlier : map of an earlier drive, or None.
    ids : (N,) running numbers; those of the earlier map are its rows.
    distances : (N,) metres driven until there.
    next_id : number that the next place gets.
    features : packed local features of the drive's own places, None if there are none. One of RootSIFT takes
        132 bytes, one of XFeat 68.
    """

    descriptors: DriveRows

    def __init__(
        self, most: int, earlier: PlaceMap | None = None, keeps_images: bool = False, next_id: int = 0
    ) -> None:
        self.earlier = earlier
        self._most = most
        self._keeps_images = keeps_images
        self._buffers: dict[str, np.ndarray] = {
            "ids": np.empty(0, np.int64),
            "stamps": np.empty(0, np.int64),
            "poses": np.empty((0, 7)),
            "distances": np.empty(0),
        }
        super().__init__(DriveRows(most, earlier), self._buffers["stamps"], self._buffers["poses"])
        self._show(0)
        self._images: list[bytes | None] = []
        self._packed: list[bytes] = []  # local features of the drive's own places
        if earlier is not None and earlier.features is not None:
            self.features = replace(earlier.features, rows=self._packed)
        if earlier is not None:
            count = len(earlier)
            self._grow(count)
            self._show(count)
            self.ids[:], self.stamps[:], self.poses[:] = np.arange(count), earlier.stamps, earlier.poses
            self.poses[:, :3] += _APART
            self.distances[1:] = np.cumsum(np.linalg.norm(np.diff(earlier.poses[:, :3], axis=0), axis=1))
            self._images = [None] * count  # they stay in its file
        self.next_id = max(len(self), next_id)

    def _show(self, count: int) -> None:
        """Let the arrays show the first rows of the buffers."""
        shown = (buffer[:count] for buffer in self._buffers.values())
        self.ids, self.stamps, self.poses, self.distances = shown

    @property
    def distance(self) -> float:
        """Metres driven until the last place."""
        return float(self.distances[-1]) if len(self) else 0.0

    @property
    def first_of_drive(self) -> int:
        """The first row that is not of the earlier map."""
        return 0 if self.earlier is None else len(self.earlier)

    def _map_of(self, row: int) -> PlaceMap | None:
        """The earlier map if the row is from there."""
        return self.earlier if row < self.first_of_drive else None

    def image(self, row: int) -> np.ndarray | None:
        """Image of a row, uint8 RGB (H, W, 3), or None if it was not kept."""
        if earlier := self._map_of(row):
            return earlier.image(row)
        encoded = self._images[row]
        return None if encoded is None else decode_picture(encoded)

    def stored_features(self, row: int) -> PackedFeatures | None:
        """Local features of a row, None if they are of another kind than those of the drive, or not kept."""
        kind = self.features.kind if self.features else ""
        if earlier := self._map_of(row):
            is_same = earlier.features is not None and earlier.features.kind == kind
            return earlier.stored_features(row) if is_same else None
        packed = self._packed[row - self.first_of_drive]
        return unpack(packed, kind) if packed else None

    def camera_of(self, row: int) -> Camera | None:
        """Calibration of the camera that took the image of a row, None if it is unknown."""
        earlier = self._map_of(row)
        return earlier.camera_of(row) if earlier else self.camera

    def append(
        self,
        descriptor: np.ndarray,
        stamp: int,
        odometry: Pose,
        image: np.ndarray | None = None,
        distance: float = 0.0,
        features: LocalFeatures | None = None,
    ) -> None:
        """Take a keyframe, after `distance` metres of driving in all."""
        row = len(self)
        if row == len(self._buffers["ids"]):
            self._grow()
        self._show(row + 1)
        self.descriptors.append(descriptor)
        self.ids[row], self.stamps[row], self.distances[row] = self.next_id, stamp, distance
        self.poses[row] = [*odometry.position, *odometry.quaternion]
        self._images.append(encode_jpeg(image) if self._keeps_images and image is not None else None)
        self._keep(features, row - self.first_of_drive)
        self.next_id += 1

    def teach(self, likelihood: Likelihood) -> None:
        """Take what the drive has shown inliers to be worth."""
        if self.features is not None:
            self.features = replace(self.features, likelihood=likelihood)

    def _keep(self, features: LocalFeatures | None, count: int) -> None:
        if features is not None and (self.features is None or self.features.kind != features.kind):
            self._packed[:] = [b""] * count
            self.features = StoredFeatures(features.kind, self._packed)
        self._packed.append(b"" if features is None else PackedFeatures(features).pack())

    @property
    def is_full(self) -> bool:
        """Whether the next place needs room that others must make."""
        return len(self) - self.first_of_drive >= self._most

    def thin_out(self) -> None:
        """Drop every second row of the drive; rows are numbered anew, ids are not."""
        first = self.first_of_drive
        kept = np.arange(first, len(self), 2)
        for buffer in self._buffers.values():
            buffer[first : first + len(kept)] = buffer[kept]
        self.descriptors.thin_out()
        self._images[first:] = self._images[first::2]
        self._packed[:] = self._packed[::2]
        self._show(first + len(kept))

    def _grow(self, least: int = _FIRST_CAPACITY) -> None:
        count = len(self)
        capacity = max(least, min(max(_FIRST_CAPACITY, 2 * count), self._most + self.first_of_drive))
        for name, buffer in self._buffers.items():
            grown = np.zeros((capacity, *buffer.shape[1:]), buffer.dtype)
            grown[:count] = buffer[:count]
            self._buffers[name] = grown

    def keyframes(self, joint: Pose | None) -> Places:
        """The drive so far; with an earlier map its places too, in its frame.

        `joint` is that frame <- odom, None while it is unknown. Raises MapError if there is no keyframe yet,
        or an earlier map and no joint.
        """
        first, earlier = self.first_of_drive, self.earlier
        if first == len(self):
            raise MapError("there is no keyframe of this drive yet: nothing to save")
        descriptors = self.descriptors.snapshot()
        stamps, poses = self.stamps[first:].copy(), self.poses[first:].copy()
        images = [image for image in self._images[first:] if image is not None]
        has_images, camera = len(images) == len(stamps), self.camera
        features = None
        if self.features is not None and all(self._packed):
            kind = self.features.kind
            features = StoredFeatures(kind, _Bounded([*self._packed], kind))
        if earlier is None:
            kept = images if has_images else None
            return Places(descriptors, stamps, poses, camera, kept, features=features)
        if joint is None:
            raise MapError(
                f"no place of the map {earlier.path} has been seen on this drive, so it cannot be "
                "extended; drive where it was recorded first"
            )
        poses[:, :3] = joint.rotation.apply(poses[:, :3]) + joint.position
        poses[:, 3:] = (joint.rotation * Rotation.from_quat(poses[:, 3:])).as_quat()
        has_images &= earlier.header.store_images == "full"  # a map has images of all places or of none
        drives = len(earlier.drives)
        camera, cameras = one_or_each([*map(earlier.camera_of_session, range(drives)), camera])
        return Places(
            descriptors,
            np.concatenate([earlier.stamps, stamps]),
            np.concatenate([earlier.poses, poses]),
            camera,
            _Joined(earlier.images or [], images) if has_images else None,
            np.concatenate([earlier.sessions, np.full(len(stamps), drives, np.int32)]),
            cameras,
            _joined_features(earlier.features, features),
        )


@dataclass(frozen=True, eq=False)
class _Joined(Sequence[bytes]):
    """Rows of an earlier map, which stay in its file, and those of the drive."""

    earlier: Sequence[bytes]
    own: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.earlier) + len(self.own)

    def __getitem__(self, row: Any) -> Any:
        first = len(self.earlier)
        return self.earlier[row] if row < first else self.own[row - first]


@dataclass(frozen=True, eq=False)
class _Bounded(Sequence[bytes]):
    """Packed local features, the strongest ones of each row, as many as a map keeps."""

    rows: Sequence[bytes]
    kind: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: Any) -> Any:
        most, found = KINDS[self.kind].stored, unpack(self.rows[row], self.kind).features
        return self.rows[row] if len(found) <= most else PackedFeatures(found.strongest(most)).pack()


def _joined_features(earlier: StoredFeatures | None, own: StoredFeatures | None) -> StoredFeatures | None:
    if earlier is None or own is None or earlier.kind != own.kind:
        return None
    return StoredFeatures(own.kind, _Joined(earlier.rows, own.rows))
