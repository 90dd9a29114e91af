"""Sources of a training run; keyframes of recordings become files, because training reads at random."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

import cv2
import numpy as np

from netvlad_core.data.bags.bag_file import is_bag
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.data.sources import SourceOptions, open_source
from netvlad_core.data.tables import Table
from netvlad_core.data.trajectory import seconds
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.files import hidden_beside, replace_directory
from netvlad_core.mapping.keyframes import default_rule, select_keyframes
from netvlad_core.mapping.map_source import MapSource, is_map
from netvlad_core.progress import bar
from netvlad_core.training.views import Views

_CATALOGUE = "catalogue.csv"
_LABEL = "label"


def read_views(
    paths: Sequence[str], options: SourceOptions, work: Path, may_write: bool = True, progress: bool = True
) -> Views:
    """Open sources one after the other.

    Parameters
    ----------
    paths : bags, maps with images, catalogues (a column `label` names places) and folders with "@" names.
    options : topics and frames of the bags.
    work : folder that keeps keyframes of bags as files, since training reads images in random order.
    may_write : False if another process has made these files already.

    Raises
    ------
    SourceError
        If a source cannot be read or an image has no pose.
    """
    if not paths:
        raise SourceError("no source of images is named; expected bags, maps, catalogues or folders")
    views = []
    for path in map(Path, paths):
        topics = options if is_bag(path) else None
        source: FrameSource = MapSource.open(path) if is_map(path) else open_source(path, topics)
        if source.is_stream:
            source = _keyframe_files(source, work / source.fingerprint, may_write, progress)
        views.append(Views.of_source(source, _read_labels(path)))
    return reduce(add, views)


def _read_labels(path: Path) -> np.ndarray | None:
    labels = Table.read(path, ()).columns.get(_LABEL) if path.suffix.lower() == ".csv" else None
    return None if labels is None else np.array(labels)


def _keyframe_files(source: FrameSource, folder: Path, may_write: bool, progress: bool) -> CatalogueSource:
    """Keyframes of a recording as PNG files with a catalogue, of an earlier run if there was one."""
    if not folder.is_dir() and may_write:
        with hidden_beside(folder) as hidden:
            partial = hidden / "partial"
            partial.mkdir()
            _write_keyframes(source, partial, progress)
            replace_directory(partial, folder)
    return CatalogueSource.from_csv(folder / _CATALOGUE)


def _write_keyframes(source: FrameSource, folder: Path, progress: bool) -> None:
    rows = [["image", "x", "y", "z", "qx", "qy", "qz", "qw", "stamp"]]
    frames = bar(source, "keyframes", show=progress)
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
        rows.append([name, *map(repr, values), seconds(frame.stamp)])
    if len(rows) == 1:
        raise SourceError(f"{source.description}: no usable image with a pose")
    with (folder / _CATALOGUE).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
