"""Puts a map together from its files: describes them, and shows the whole at its place in one step."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.files import replace_directory
from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.place_map import MapHeader, PlaceMap, describe_files
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.projection import principal_directions
from netvlad_core.mapping.rows import StoredRows
from netvlad_core.mapping.statistics import median_spacing, similarity_elsewhere
from netvlad_core.search import store_index

_BLOCK = 1024  # descriptors in memory at a time


def check_output(output: Path) -> None:
    """Raise MapError if something else than a map or an empty folder is at the output."""
    if output.exists() and not (output / layout.HEADER_FILE).is_file():
        is_empty = output.is_dir() and not any(output.iterdir())
        if not is_empty:
            raise MapError(f"{output} exists and is no map; it is left alone: choose another name")
    output.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing_map(output: Path, header: MapHeader) -> Iterator[Path]:
    """Give a folder for the files of a map, and make it the map at `output` when they are all there.

    Until then an older map stays as it is; on an error nothing of the new one is left.
    """
    with _new_folder(output) as new:
        new.mkdir()
        yield new
        store_index(StoredRows.of_npy(new / layout.DESCRIPTORS_FILE), new / layout.INDEX_FILE)
        _described(new, output.name, header).write(new / layout.HEADER_FILE)
        replace_directory(new, output)


def write_places(folder: Path, places: Places, names: Sequence[str]) -> None:
    """Write the files of N places but for the network.

    Parameters
    ----------
    places : with descriptors (0, 0) if their file is written already.
    names : names of the places' frames in their source.
    """
    np.save(folder / layout.STAMPS_FILE, np.asarray(places.stamps, np.int64))
    np.save(folder / layout.POSES_FILE, np.asarray(places.poses, np.float64))
    (folder / layout.NAMES_FILE).write_text(json.dumps(list(names)))
    if places.descriptors.size:
        np.save(folder / layout.DESCRIPTORS_FILE, np.asarray(places.descriptors, np.float16))
    if places.images is not None:
        with (folder / layout.IMAGES_FILE).open("wb") as file:
            file.writelines(places.images)
        ends = np.cumsum([len(image) for image in places.images], dtype=np.int64)
        np.save(folder / layout.IMAGE_ENDS_FILE, ends)
    if places.camera is not None:
        (folder / layout.CAMERA_FILE).write_text(places.camera.to_json())


def write_descriptors(descriptors: np.ndarray | StoredRows, folder: Path, dimension: int) -> None:
    """Write descriptors (N, D) block by block, since they may exceed the memory.

    If there are more places than `dimension` < D, that many numbers of each are written, and the directions
    along which they are taken.
    """
    count, width = descriptors.shape
    directions = None
    if 0 < dimension < min(count, width):
        directions = principal_directions(descriptors, dimension)
        width = len(directions)
        np.save(folder / layout.DIRECTIONS_FILE, directions.astype(np.float16))
    with (folder / layout.DESCRIPTORS_FILE).open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (count, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, _BLOCK):
            block = np.asarray(descriptors[start : start + _BLOCK], np.float32)
            file.write((block if directions is None else block @ directions.T).astype(np.float16).tobytes())


def copy_map(place_map: PlaceMap, target: Path) -> None:
    """Write an open map to another folder, whole or not at all.

    Raises MapError if the target is something else than a map, or the map on disk is not the one that was
    opened; OSError if it cannot be written.
    """
    check_output(target)
    with _new_folder(target) as new:
        shutil.copytree(place_map.path, new)
        if PlaceMap.open(new, verify=True).header != place_map.header:
            raise MapError(f"the map in {place_map.path} is no longer the one that is open; load it again")
        if not (target.exists() and target.samefile(place_map.path)):
            replace_directory(new, target)


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A name beside the output that is free, and is so again afterwards."""
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _described(folder: Path, name: str, header: MapHeader) -> MapHeader:
    """The header with what the files say."""
    files = describe_files(folder, sorted(path.name for path in folder.iterdir()))
    content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    descriptors = StoredRows.of_npy(folder / layout.DESCRIPTORS_FILE)
    positions = np.load(folder / layout.POSES_FILE, allow_pickle=False)[:, :3]
    return replace(
        header,
        map_id=f"{name}@{content[:12]}",
        dimension=header.dimension or descriptors.shape[1],
        stored_dimension=descriptors.shape[1],
        places=len(positions),
        spacing=median_spacing(positions),
        similarity_threshold=similarity_elsewhere(descriptors, positions),
        files=files,
    )
