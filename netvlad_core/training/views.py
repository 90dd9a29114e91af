"""The images of a training run in random access, with where and when each was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.data.place_sets.place_set import PlaceImages
from netvlad_core.errors import SourceError
from netvlad_core.model.preprocessing import check_image


@dataclass(frozen=True, eq=False)
class Views:
    """Images and, as columns with an entry for each, what is known about them.

    Attributes
    ----------
    frames : images, to be decoded later.
    positions : (N, 3) float64, metres.
    headings : (N,) float64, radians; NaN if unknown, which agrees with any.
    stamps : (N,) int64, nanoseconds.
    drives : (N,) int64, number of the source; stamps of different drives do not compare.
    labels : (N,) str, images of one label show one place; or None if positions tell.
    """

    frames: Sequence[Frame]
    positions: np.ndarray
    headings: np.ndarray
    stamps: np.ndarray
    drives: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, row: int) -> np.ndarray:
        """Image, uint8 RGB (H, W, 3); raises ImageError if it is missing, broken or too small."""
        image = self.frames[row].decode()
        check_image(image)
        return image

    def __add__(self, other: Views) -> Views:
        """All images, drives of the other numbered after these; labels if both have them."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = np.concatenate([self.labels, other.labels])
        return Views(
            [*self.frames, *other.frames],
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.headings, other.headings]),
            np.concatenate([self.stamps, other.stamps]),
            np.concatenate([self.drives, other.drives + self.drives.max(initial=-1) + 1]),
            labels,
        )

    @classmethod
    def of_source(cls, source: FrameSource, labels: np.ndarray | None = None) -> Views:
        """Hold the frames of a source; raises SourceError if an image has no pose."""
        frames = list(source)
        if missing := next((frame.name for frame in frames if frame.pose is None), None):
            raise SourceError(
                f"{source.description}: {missing} has no pose; training needs to know where images were taken"
            )
        poses = [frame.pose for frame in frames if frame.pose is not None]
        return cls(
            frames,
            np.array([pose.position for pose in poses]).reshape(-1, 3),
            np.array([pose.yaw for pose in poses]),
            np.array([frame.stamp for frame in frames], dtype=np.int64),
            np.zeros(len(frames), dtype=np.int64),
            labels,
        )

    @classmethod
    def of_images(cls, images: PlaceImages) -> Views:
        """Hold database or queries of a collection; raises SourceError without positions and labels."""
        count = len(images)
        if images.positions is None and images.labels is None:
            raise SourceError(f"the images of {images.folder} have neither positions nor labels")
        flat = np.zeros((count, 2)) if images.positions is None else images.positions
        return cls(
            [replace(frame, name=name) for frame, name in zip(images.frames(), images.names, strict=True)],
            np.column_stack([flat, np.zeros(count)]),
            np.full(count, np.nan) if images.headings is None else images.headings,
            np.arange(count, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            images.labels,
        )
