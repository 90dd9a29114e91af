"""What a localizer has seen while it drives, in memory, from which its map can learn at any time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import resize_to_fit
from netvlad_core.errors import MapError
from netvlad_core.files import hidden_beside
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures, find_features
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.extending import Extended, add_new
from netvlad_core.localization.joining import Sightings, joint_of
from netvlad_core.localization.loops.growing_map import GrowingMap
from netvlad_core.mapping.builder import THUMBNAIL_PIXELS
from netvlad_core.mapping.keyframes import KeyframeRule, has_moved
from netvlad_core.mapping.map_writer import write_descriptors, write_places, writing_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places


class RecordedDrive:
    """Keyframes of a drive that is followed in a map; one thread may add images while another one extends.

    Parameters
    ----------
    place_map : the map; images are kept as it keeps them. Also an attribute.
    most : bound of memory; at this number every second keyframe goes, and their distance doubles.
    """

    def __init__(self, place_map: PlaceMap, most: int) -> None:
        self.place_map = place_map
        self._most = most
        self._lock = Lock()
        self.forget()

    def __len__(self) -> int:
        """Keyframes in memory."""
        return len(self._drive)

    def forget(self) -> None:
        """Begin another drive: odometry from before and after do not compare."""
        with self._lock:
            self._rule = KeyframeRule()
            self._drive = GrowingMap(self._most, keeps_images=self.place_map.images is not None)
            self._seen: dict[int, Pose] = {}
            self._last: Pose | None = None

    def add(
        self,
        answer: Localization,
        image: np.ndarray,
        odometry: Pose | None,
        camera: Camera | None = None,
        features: LocalFeatures | None = None,
    ) -> None:
        """Take an image, uint8 RGB (H, W, 3), with the localizer's answer to it, if it makes a keyframe.

        Parameters
        ----------
        features : local features of the image, if they are known already and the map keeps some.
        """
        if odometry is None or (self._last is not None and not has_moved(odometry, self._last, self._rule)):
            return
        if (stored := self.place_map.features) is not None and features is None:
            features = find_features(image, KINDS[stored.kind].stored, stored.kind)
        if self.place_map.header.store_images == "thumbnail":
            image = resize_to_fit(image, THUMBNAIL_PIXELS)
        with self._lock:
            if self._drive.is_full:
                self._drive.thin_out()
                self._rule = replace(self._rule, distance=2 * (self._rule.distance or 0.0))
            if answer.prior is not None:
                self._seen[self._drive.next_id] = answer.prior.pose
            self._drive.append(answer.descriptor, answer.stamp, odometry, image, features=features)
            self._drive.camera, self._last = camera, odometry

    def extend(self, output: Path, frame_id: str) -> Extended:
        """Write the map and what is new in the drive; see `extending.extend`.

        Parameters
        ----------
        frame_id : frame of the odometry.

        Raises
        ------
        MapError
            If there is no keyframe, the drive cannot be put into the frame of the map, or something is at the
            output, be it a map.
        """
        place_map = self.place_map
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise MapError(f"{output} exists; an extended map goes to a folder that is not there yet")
        with self._lock:
            keyframes = self._drive.keyframes(None)
            ids = self._drive.ids.tolist()
            seen = {row: self._seen[number] for row, number in enumerate(ids) if number in self._seen}
        poses = [[*pose.position, *pose.quaternion] for pose in seen.values()]
        sightings = Sightings(np.array(list(seen), np.int64), np.array(poses).reshape(-1, 7))
        joint = joint_of(sightings, keyframes.poses, f"this drive and {place_map.path}", True)
        with hidden_beside(output) as hidden:
            drive = self._written(hidden / "partial" / output.name, keyframes, frame_id)
            return add_new(place_map, drive, joint, output, place_map.growing_dimension)

    def _written(self, folder: Path, keyframes: Places, frame_id: str) -> PlaceMap:
        header = replace(
            self.place_map.header,
            frame_id=frame_id,
            source=f"a drive followed in the map {self.place_map.header.map_id}",
            source_fingerprint="",
            weights=str(self.place_map.network_path.resolve()),
            store_images="none" if keyframes.images is None else self.place_map.header.store_images,
            skipped={},
            sessions=[],
            history=[],
            origin=None,
        )
        with writing_map(folder, header) as new:
            write_descriptors(keyframes.descriptors, new, 0)
            keyframes.descriptors = keyframes.descriptors[:0]
            write_places(new, keyframes, [str(stamp) for stamp in keyframes.stamps])
        return PlaceMap.open(folder)
