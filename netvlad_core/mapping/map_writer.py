"""Puts a map together from its files: describes them, and shows the whole at its place in one step."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.files import replace_directory
from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.place_map import MapHeader, PlaceMap, describe_files
from netvlad_core.mapping.statistics import median_spacing, similarity_elsewhere


@dataclass(frozen=True)
class MapFacts:
    """What a map says of itself and its files do not; see `MapHeader`."""

    model_id: str
    frame_id: str
    source: str
    source_fingerprint: str
    preprocessing: Mapping[str, Any]
    weights: str | None
    store_images: str = "none"
    skipped: Mapping[str, int] = field(default_factory=dict)


def check_output(output: Path) -> None:
    """Refuse to write where something stands that is no map; raises MapError."""
    if output.exists() and not (output / layout.HEADER_FILE).is_file():
        is_empty = output.is_dir() and not any(output.iterdir())
        if not is_empty:
            raise MapError(f"{output} exists and is no map; it is left alone: choose another name")
    output.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing_map(output: Path, facts: MapFacts) -> Iterator[Path]:
    """Give a folder for the files of a map, and make it the map at `output` when they are all there.

    Until then an older map stays as it is; on an error nothing of the new one is left.
    """
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        _describe(new, output.name, facts)
        replace_directory(new, output)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_places(
    folder: Path, stamps: np.ndarray, poses: np.ndarray, names: Sequence[str], descriptors: np.ndarray | None
) -> None:
    """Write the arrays of N places.

    Parameters
    ----------
    stamps : (N,) int64, nanoseconds.
    poses : (N, 7) float64, map <- base_link, x y z qx qy qz qw; NaN where a place has none.
    names : of the frames.
    descriptors : (N, D) float32, or None where their file is written already.
    """
    np.save(folder / layout.STAMPS_FILE, np.asarray(stamps, np.int64))
    np.save(folder / layout.POSES_FILE, np.asarray(poses, np.float64))
    (folder / layout.NAMES_FILE).write_text(json.dumps(list(names)))
    if descriptors is not None:
        np.save(folder / layout.DESCRIPTORS_FILE, np.asarray(descriptors, np.float32))


def write_images(folder: Path, images: Sequence[bytes]) -> None:
    """Write the JPEG files of N places."""
    (folder / layout.IMAGES_FILE).write_bytes(b"".join(images))
    np.save(folder / layout.IMAGE_ENDS_FILE, np.cumsum([len(image) for image in images], dtype=np.int64))


def copy_map(place_map: PlaceMap, target: Path) -> None:
    """Write an open map to another folder, the copy appearing whole or not at all.

    Raises
    ------
    MapError
        If the target is something else than a map, or the map on disk is not the one that was opened.
    OSError
        If it cannot be written.
    """
    check_output(target)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(place_map.path, new)
        if PlaceMap.open(new, verify=True).header != place_map.header:
            raise MapError(f"the map in {place_map.path} is no longer the one that is open; load it again")
        if not (target.exists() and target.samefile(place_map.path)):
            replace_directory(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _describe(folder: Path, name: str, facts: MapFacts) -> None:
    files = describe_files(folder, sorted(path.name for path in folder.iterdir()))
    content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    descriptors = np.load(folder / layout.DESCRIPTORS_FILE, mmap_mode="r", allow_pickle=False)
    positions = np.load(folder / layout.POSES_FILE, allow_pickle=False)[:, :3]
    MapHeader(
        map_id=f"{name}@{content[:12]}",
        model_id=facts.model_id,
        dimension=descriptors.shape[1],
        places=len(positions),
        frame_id=facts.frame_id,
        source=facts.source,
        source_fingerprint=facts.source_fingerprint,
        preprocessing=dict(facts.preprocessing),
        weights=facts.weights,
        store_images=facts.store_images,
        spacing=median_spacing(positions),
        similarity_threshold=similarity_elsewhere(folder / layout.DESCRIPTORS_FILE, positions),
        skipped=dict(facts.skipped),
        files=files,
    ).write(folder / layout.HEADER_FILE)
