"""A drive that goes on: observed, searched for returns, and written as a map at any time."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.geometry.features import KINDS, usual_kind
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.loops.loop_closure import LoopCloser, LoopClosure
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.localization.observation import Observation, Observer, StageTimer, untimed
from netvlad_core.mapping.map_header import NETWORK_FILE, MapHeader
from netvlad_core.mapping.map_writer import check_output, write_descriptors, write_places, writing_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import STORED_DIMENSION
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor


def drive_observer(extractor: Extractor, verification: VerificationOptions | None, kind: str) -> Observer:
    """Observer for a drive that keeps local features of this kind, if geometry verifies.

    With 450 features of RootSIFT, as a map keeps them, a third less returns are found in the town.
    """
    if verification is None:
        return Observer(extractor)
    most = verification.features if kind == "rootsift" else KINDS[kind].stored
    return Observer(extractor, most, kind)


@dataclass(frozen=True)
class Keyframe:
    """One image that the drive has kept.

    Attributes
    ----------
    number : running number, as in `LoopClosure`.
    closure : the loop that the image closes, or None.
    """

    number: int
    observation: Observation
    closure: LoopClosure | None


@dataclass(frozen=True, eq=False)
class LiveDrive:
    """One drive with the network in the file `weights`; one thread may add images while another one saves."""

    closer: LoopCloser
    observer: Observer
    weights: Path
    lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def open(
        cls,
        options: LoopClosureOptions,
        map_path: Path | None = None,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        keeps_images: bool = False,
    ) -> LiveDrive:
        """Begin a drive; raises NetvladError if the map or the network cannot be used, or do not fit.

        Parameters
        ----------
        map_path : map of an earlier drive, in which places are looked for as well.
        weights : checkpoint or ONNX file; None takes that of the map, without a map the packaged one.
        keeps_images : whether the drive can be saved with its images.
        """
        earlier = PlaceMap.open(map_path, verify=True) if map_path else None
        path = weights or (earlier.network_path if earlier else PACKAGED_NETWORK)
        opened = earlier.open_extractor if earlier else Extractor.load
        extractor = opened(path, device, precision=precision)
        kind = earlier.features.kind if earlier and earlier.features else usual_kind()
        closer = LoopCloser(options, earlier, keeps_images)
        observer = drive_observer(extractor, options.verification, kind)
        return cls(closer, observer, path)

    @property
    def earlier(self) -> PlaceMap | None:
        """Map of an earlier drive."""
        return self.closer.earlier

    def wants(self, odometry: Pose) -> bool:
        """Whether an image taken there would be a keyframe."""
        with self.lock:
            return self.closer.wants(odometry)

    def add(
        self,
        image: np.ndarray,
        stamp: int,
        odometry: Pose,
        camera: Camera | None = None,
        timed: StageTimer = untimed,
    ) -> Keyframe:
        """Take an image that is wanted; see `LoopCloser.add`."""
        observation = self.observer(image, stamp, odometry, camera, timed=timed)
        with self.lock, timed("search"):
            closure = self.closer.add(observation, image)
            return Keyframe(self.closer.next_id - 1, observation, closure)

    def reset(self) -> None:
        """Begin another drive; the numbers of its keyframes continue."""
        with self.lock:
            self.closer.reset()

    def save(self, output: Path, frame_id: str, has_images: bool = False) -> None:
        """Write the keyframes so far as a map, with an earlier map the two together.

        Raises MapError if there is nothing to save, the two maps are not joined yet, or the earlier map or
        something else than a map is at `output`; OSError if it cannot be written.

        Parameters
        ----------
        frame_id : frame of the odometry; with an earlier map all poses are in the frame of that map.
        has_images : whether to keep the images, if the drive has some.
        """
        if self.earlier is not None and output.resolve() == self.earlier.path.resolve():
            raise MapError(f"{output} is the map of the earlier drive, which stays; choose another output")
        check_output(output)
        with self.lock:
            keyframes = self.closer.keyframes()
        if not has_images:
            keyframes.images = None
        holds_network = self.weights.suffix == ".safetensors"
        extractor, earlier = self.observer.extractor, self.earlier
        header = MapHeader(
            model_id=extractor.model_id,
            dimension=extractor.dimension,
            frame_id=earlier.header.frame_id if earlier else frame_id,
            source=f"{f'the map {earlier.header.map_id} and ' if earlier else ''}a drive with loop closures",
            preprocessing=asdict(extractor.spec.preprocessing),
            weights=None if holds_network else str(self.weights.resolve()),
            store_images="none" if keyframes.images is None else "full",
        )
        if earlier is not None:
            drive = {"name": output.name, "source": "a drive with loop closures", "map_id": ""}
            step = {"operation": "extend", "maps": [earlier.header.map_id]}
            header = replace(
                header,
                sessions=[*earlier.drives, drive],
                history=[*earlier.header.history, step],
                origin=earlier.header.origin,
            )
        dimension = earlier.growing_dimension if earlier else STORED_DIMENSION
        with writing_map(output, header) as new:
            write_descriptors(keyframes.descriptors, new, dimension)
            keyframes.descriptors = keyframes.descriptors[:0]
            write_places(new, keyframes, [str(stamp) for stamp in keyframes.stamps])
            if holds_network:
                shutil.copyfile(self.weights, new / NETWORK_FILE)
