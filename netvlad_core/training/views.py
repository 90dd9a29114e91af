"""The images of a training run in random access, with where and when each was taken."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from netvlad_core.data.bags.bag_file import is_bag
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.data.images import read_image
from netvlad_core.data.place_sets.place_set import PlaceImages
from netvlad_core.data.sources import SourceOptions, open_source
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.files import replace_directory
from netvlad_core.mapping.keyframes import default_rule, select_keyframes
from netvlad_core.mapping.map_source import MapSource, is_map
from netvlad_core.model.preprocessing import check_image

_CATALOGUE = "catalogue.csv"
_LABEL = "label"


@dataclass(frozen=True, eq=False)
class Views:
    """Images, and as columns with an entry for each what is known about them.

    Attributes
    ----------
    frames : not decoded yet.
    positions : (N, 3) float64, metres.
    headings : (N,) float64, radians; NaN where unknown, which agrees with any.
    stamps : (N,) int64, nanoseconds.
    drives : (N,) int64, number of the source; stamps of different drives do not compare.
    labels : (N,) str, images of one label show one place; or None where positions say so.
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
        """Image, uint8 RGB (H, W, 3); raises ImageError where it is missing, broken or too small."""
        image = self.frames[row].decode()
        check_image(image)
        return image

    def __add__(self, other: Views) -> Views:
        """All images, drives of the other numbered after these; labels where both have them."""
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
        """Hold the frames of a collection.

        Raises
        ------
        SourceError
            If an image has no pose.
        """
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
        """Hold the database or the queries of a collection of places, as one drive.

        Raises
        ------
        SourceError
            If it has neither positions nor labels.
        """
        count = len(images)
        if images.positions is None and images.labels is None:
            raise SourceError(
                f"the images of {images.folder} have neither positions nor labels to learn from"
            )
        flat = np.zeros((count, 2)) if images.positions is None else images.positions
        return cls(
            [Frame(images.names[i], i, None, partial(read_image, images.path(i))) for i in range(count)],
            np.column_stack([flat, np.zeros(count)]),
            np.full(count, np.nan) if images.headings is None else images.headings,
            np.arange(count, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            images.labels,
        )


def read_views(
    paths: Sequence[str], options: SourceOptions, work: Path, may_write: bool = True, progress: bool = True
) -> Views:
    """Open sources one after the other.

    Parameters
    ----------
    paths : of bags, maps with images, catalogues (a column `label` names places) and folders with "@" names.
    options : for the bags.
    work : folder that keeps keyframes of bags as files, since training reads images in random order.
    may_write : False where another process has made these files already.

    Raises
    ------
    SourceError
        If a source cannot be read or an image has no pose.
    """
    views: Views | None = None
    for path in map(Path, paths):
        source: FrameSource
        if is_map(path):
            source = MapSource.open(path)
        else:
            source = open_source(path, options if is_bag(path) else None)
        if source.is_stream:
            source = _keyframe_files(source, work / source.fingerprint, may_write, progress)
        one = Views.of_source(source, _read_labels(path))
        views = one if views is None else views + one
    if views is None:
        raise SourceError("no source of images is named; expected bags, maps, catalogues or folders")
    return views


def _read_labels(path: Path) -> np.ndarray | None:
    if path.suffix.lower() != ".csv":
        return None
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    return np.array([row[_LABEL].strip() for row in rows]) if _LABEL in rows[0] else None


def _keyframe_files(source: FrameSource, folder: Path, may_write: bool, progress: bool) -> CatalogueSource:
    """Keyframes of a recording as PNG files with a catalogue, from an earlier run where they are there."""
    if not folder.is_dir() and may_write:
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_keyframes(source, partial, progress)
        replace_directory(partial, folder)
    return CatalogueSource.from_csv(folder / _CATALOGUE)


def _write_keyframes(source: FrameSource, folder: Path, progress: bool) -> None:
    rows = [["image", "x", "y", "z", "qx", "qy", "qz", "qw", "stamp"]]
    frames = tqdm(source, "keyframes", total=len(source), unit="image", disable=None if progress else True)
    for frame in select_keyframes(frames, default_rule(source)):
        try:
            image = frame.decode()
        except ImageError:
            continue  # a broken image of a recording has neighbours
        if frame.pose is None:
            continue
        name = f"{len(rows):06d}.png"
        if not cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise SourceError(f"cannot write {folder / name}; is the disk full?")
        values = [*frame.pose.position.tolist(), *frame.pose.quaternion.tolist()]
        rows.append([name, *map(repr, values), f"{frame.stamp // 10**9}.{frame.stamp % 10**9:09d}"])
    if len(rows) == 1:
        raise SourceError(f"{source.description}: no usable image with a pose")
    with (folder / _CATALOGUE).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
