"""The interface of every source of images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a drive, not decoded yet: most frames of a drive are never looked at.

    Attributes
    ----------
    name : file name or `topic#index`, unique in its source, used in messages and tables.
    stamp : int, nanoseconds.
    pose : map <- base_link, or None if the source has no pose for this instant.
    decode : function that returns the image, uint8 RGB (H, W, 3), or raises ImageError.
    """

    name: str
    stamp: int
    pose: Pose | None
    decode: Callable[[], np.ndarray]


class FrameSource(Protocol):
    """Images with stamps and poses in the order of their recording; can be iterated again from the start.

    Attributes
    ----------
    description : origin of the frames in one line, for provenance.
    fingerprint : hash that changes with paths, sizes, times and options; cheap to compute.
    frame_id : name of the frame in which the poses are given.
    skipped : reasons and counts of images and poses that cannot be used.
    usable : number of images that an iteration yields.
    remark : sentence about why few images can be used, as far as the source knows; otherwise empty.
    is_stream : whether it is a recording at camera rate, from which keyframes are yet to be chosen.
    camera : calibration of the camera, or None if it is not known.
    origin : latitude, longitude and height of the frame's origin, as in `MapHeader`, or None.
    """

    description: str
    fingerprint: str
    frame_id: str
    skipped: Counter[str]
    remark: str
    is_stream: bool

    @property
    def origin(self) -> list[float] | None: ...

    @property
    def camera(self) -> Camera | None: ...

    @property
    def usable(self) -> int: ...

    def __len__(self) -> int:
        """Number of images, at least `usable`."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...


def fingerprint_of(files: Iterable[Path], options: object) -> str:
    """Hash paths, sizes and times of files, and the options of reading them; 16 hexadecimal digits."""
    digest = hashlib.sha256(repr(options).encode())
    for file in files:
        try:
            status = file.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):  # ValueError: no file can have this name
            state = "missing"
        digest.update(f"\n{file.absolute()} {state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
