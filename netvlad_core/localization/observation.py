"""What the core has seen in one image: the observation that is localized, tracked and closed loops with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures, find_features
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames

# Gives a context for the name of a stage, to measure its time.
StageTimer = Callable[[str], AbstractContextManager[object]]


def untimed(stage: str) -> AbstractContextManager[object]:
    """Measure nothing."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class Observation:
    """One image as the core sees it.

    Attributes
    ----------
    stamp : time of the image, nanoseconds.
    descriptor : (D,) float32, L2-normalised.
    odometry : odom <- base_link at the stamp, None without odometry.
    features : local features of the image, None if geometry is not asked for.
    camera : calibration of the camera that took the image; None takes that of the map.

    Examples
    --------
    >>> from netvlad_core import Extractor, Observation, open_source
    >>> frame = next(iter(open_source("drive/catalogue.csv")))
    >>> extractor = Extractor.load("campus.safetensors", "cpu")
    >>> seen = Observation(frame.stamp, extractor(frame.decode())[0], odometry=frame.pose)
    >>> seen.descriptor.shape, seen.features is None
    ((896,), True)
    """

    stamp: int
    descriptor: np.ndarray
    odometry: Pose | None = None
    features: LocalFeatures | None = None
    camera: Camera | None = None


@dataclass(frozen=True)
class Observer:
    """Makes observations of images; several threads may share one.

    Attributes
    ----------
    extractor : the network.
    features : largest number of local features to find in an image; 0 finds none.
    kind : of the local features, a name in `KINDS`.
    """

    extractor: Extractor
    features: int = 0
    kind: str = "rootsift"
    # Two images at once would only slow each other down, and need twice the memory.
    network_lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def __call__(
        self,
        image: np.ndarray,
        stamp: int = 0,
        odometry: Pose | None = None,
        camera: Camera | None = None,
        *,
        descriptor: np.ndarray | None = None,
        features: LocalFeatures | None = None,
        timed: StageTimer = untimed,
    ) -> Observation:
        """Observe an image; raises ImageError if it is no such array.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB.
        descriptor, features : (D,) float32, and what `look` gives, if they are known, e.g. of a batch.
        timed : context manager for the stages "network" and "local features".
        """
        if descriptor is None:
            with self.network_lock, timed("network"):
                descriptor = self.extractor(image)[0]
        if features is None and self.features:
            with timed("local features"):
                features = self.look(image)
        return Observation(stamp, descriptor, odometry, features, camera)

    def look(self, image: np.ndarray) -> LocalFeatures | None:
        """Local features of an image, None if they are not asked for."""
        return find_features(image, self.features, self.kind) if self.features else None


def observe_frames(
    observe: Observer, frames: Iterable[Frame], left_out: Counter[str]
) -> Iterator[tuple[Frame, Observation]]:
    """Observe a recorded drive, its poses as odometry; broken images are counted in `left_out`."""
    for batch in describe_frames(frames, observe.extractor, observe.look):
        for described in batch:
            frame, image, descriptor = described.frame, described.image, described.descriptor
            if image is None or descriptor is None:
                left_out[described.error or "broken image"] += 1
            else:
                seen = observe(image, frame.stamp, frame.pose, descriptor=descriptor, features=described.seen)
                yield frame, seen
