"""Puts a map together from its files: describes them, and shows the whole at its place in one step."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.files import enclosing_map, hidden_beside, replace_directory, sendable, sole_writer
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.place_features import write_features
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.projection import principal_directions
from netvlad_core.mapping.rows import StoredRows
from netvlad_core.mapping.statistics import median_spacing, similarity_elsewhere
from netvlad_core.mapping.stored_file import StoredFile
from netvlad_core.search import Rows, store_index

_BLOCK = 1024  # descriptors in memory at a time


def check_output(output: Path) -> None:
    """Refuse to replace anything but a whole map with nothing else in its folder, or an empty folder.

    Raises
    ------
    MapError
        If something else is there; it names what does not belong to a map. Or if the output lies in another
        map, which then could not be replaced any more.
    """
    if around := enclosing_map(output):
        raise MapError(f"{output} lies in the map {around}; choose a folder beside it")
    if not os.path.lexists(output):
        return
    held = {path.name for path in output.iterdir()} if output.is_dir() else {""}
    if not held:
        return
    try:
        header = MapHeader.read(output / layout.HEADER_FILE)
    except MapError as error:
        raise MapError(
            f"{output} exists and is no map; it is left alone: choose another name ({error})"
        ) from error
    if strangers := sorted(held - map_files(output, header) - {layout.HEADER_FILE}):
        raise MapError(
            f"{output} holds {strangers[0]}, which is no part of the map; it is left alone: move that file, "
            "or choose another name"
        )
    try:
        PlaceMap.open(output)
    except MapError as error:
        raise MapError(f"{error}; it is left alone: remove the map, or choose another name") from error


def map_files(folder: Path, header: MapHeader) -> set[str]:
    """Names of all files of a map but map.json: those that it names, and networks exported later."""
    exported = {name for name in layout.ONNX_FILES if _is_regular(folder / name)}
    return exported | header.files.keys()


@contextmanager
def writing_map(output: Path, header: MapHeader) -> Iterator[Path]:
    """Give a folder for the files of a map, and make it the map at `output` when they are all there.

    Until then an older map stays as it is; on an error nothing of the new one is left.

    Raises
    ------
    MapError
        If something else than a map is at `output`, or the new one would not open.
    NetvladError
        If somebody else writes a map there.
    """
    output = output.resolve()  # a link to a map stays a link
    with sole_writer(output), put_together(output, header) as new:
        yield new


@contextmanager
def put_together(output: Path, header: MapHeader) -> Iterator[Path]:
    """Do what `writing_map` does, for the `sole_writer` of the output."""
    with placed_whole(output) as new:
        yield new
        store_index(StoredRows.of_npy(new / layout.DESCRIPTORS_FILE), new / layout.INDEX_FILE)
        _described(new, output.name, header).write(new / layout.HEADER_FILE)


@contextmanager
def placed_whole(output: Path) -> Iterator[Path]:
    """Do the same with a map whose files are all there, `map.json` among them, when the block ends."""
    check_output(output)
    with _new_folder(output) as new:
        yield new
        PlaceMap.open(new, verify=True)
        check_output(output)  # files may have come while this one was made
        replace_directory(new, output)


def write_places(folder: Path, places: Places, names: Sequence[str]) -> None:
    """Write the files of N places but for the network.

    Parameters
    ----------
    places : with descriptors (0, 0) if their file has been written by `write_descriptors`.
    names : names of the places' frames in their source.
    """
    np.save(folder / layout.STAMPS_FILE, np.asarray(places.stamps, np.int64))
    np.save(folder / layout.POSES_FILE, np.asarray(places.poses, np.float64))
    (folder / layout.NAMES_FILE).write_text(json.dumps(list(names)))
    if len(places.descriptors):
        np.save(folder / layout.DESCRIPTORS_FILE, places.descriptors[:].astype(np.float16))
    if places.sessions.any():
        np.save(folder / layout.SESSIONS_FILE, places.sessions)
    if places.images is not None:
        with (folder / layout.IMAGES_FILE).open("wb") as file:
            file.writelines(places.images)
        ends = np.cumsum([len(image) for image in places.images], dtype=np.int64)
        np.save(folder / layout.IMAGE_ENDS_FILE, ends)
    if places.features is not None:
        write_features(folder, places)
    if places.camera is not None:
        (folder / layout.CAMERA_FILE).write_text(places.camera.to_json())
    if places.cameras:
        texts = ("null\n" if camera is None else camera.to_json() for camera in places.cameras)
        (folder / layout.CAMERAS_FILE).write_text(f"[{','.join(texts)}]\n")


def write_descriptors(
    descriptors: Rows,
    folder: Path,
    dimension: int,
    are_projections: bool = False,
    directions: np.ndarray | None = None,
) -> None:
    """Write descriptors (N, D) block by block, since they may exceed the memory.

    If there are more places than `dimension` < D, that many numbers of each are written, and the directions
    along which they are taken.

    Parameters
    ----------
    are_projections : whether some are projections of descriptors to a subspace, thus shorter than 1; they are
        written along directions in any case.
    directions : (P, D) to be taken instead of their own, P < D.
    """
    count, width = descriptors.shape
    if are_projections:
        dimension = min(dimension or count, count, width - 1)
    if directions is None and (are_projections or 0 < dimension < min(count, width)):
        directions = principal_directions(descriptors, dimension)
    if directions is not None:
        width = len(directions)
        np.save(folder / layout.DIRECTIONS_FILE, directions.astype(np.float16))
    with (folder / layout.DESCRIPTORS_FILE).open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (count, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, _BLOCK):
            block = np.asarray(descriptors[start : start + _BLOCK], np.float32)
            file.write((block if directions is None else block @ directions.T).astype(np.float16).tobytes())


def copy_map(place_map: PlaceMap, target: Path) -> None:
    """Write an open map, and the networks exported beside it, to another folder, whole or not at all.

    Raises
    ------
    MapError
        If the target is something else than a map, or the map on disk is not the one that was opened.
    NetvladError
        If somebody else writes a map there.
    OSError
        If it cannot be written.
    """
    source, target = place_map.path, target.resolve()
    with sole_writer(target), _new_folder(target) as new:
        check_output(target)
        copy_files(source, {layout.HEADER_FILE, *map_files(source, place_map.header)}, new)
        if PlaceMap.open(new, verify=True).header != place_map.header:
            raise MapError(f"the map in {source} is no longer the one that is open; load it again")
        if not (target.exists() and target.samefile(source)):
            check_output(target)
            replace_directory(new, target)


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder for the files of a map, removed unless it takes the place of the output."""
    with hidden_beside(output) as hidden:
        new = hidden / "partial"
        new.mkdir()
        yield new


def copy_files(source: Path, names: Iterable[str], target: Path) -> None:
    """Copy regular files of a map; links, devices and the like raise MapError."""
    for name in names:
        if name == layout.INDEX_FILE and not _is_regular(source / name):
            continue  # it is made anew when it is missing
        StoredFile(source / name).copy_to(target / name)


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _described(folder: Path, name: str, header: MapHeader) -> MapHeader:
    """The header with what the files say."""
    files = {path.name: describe_file(path) for path in sorted(folder.iterdir())}
    content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    descriptors = StoredRows.of_npy(folder / layout.DESCRIPTORS_FILE)
    positions = np.load(folder / layout.POSES_FILE, allow_pickle=False)[:, :3]
    return replace(
        header,
        map_id=sendable(f"{name}@{content[:12]}"),
        frame_id=sendable(header.frame_id),
        source=sendable(header.source),
        dimension=header.dimension or descriptors.shape[1],
        stored_dimension=descriptors.shape[1],
        places=len(positions),
        spacing=median_spacing(positions),
        similarity_threshold=similarity_elsewhere(descriptors, positions),
        files=files,
    )


def describe_file(path: Path) -> dict[str, Any]:
    """What map.json says of a file."""
    file = StoredFile(path)
    return {"bytes": file.size, "sha256": file.sha256()}
