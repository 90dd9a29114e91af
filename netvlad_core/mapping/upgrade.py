"""A map of an older format, written anew in the present one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.map_writer import write_descriptors, writing_map
from netvlad_core.mapping.place_map import VERSION, PlaceMap
from netvlad_core.search import EXACT_UP_TO


def upgrade(path: Path, dimension: int) -> PlaceMap:
    """Write a map in the present format, in its own place and in one step.

    ONNX files beside its network stay with it. A map that is reduced only gets the index that it lacks.

    Parameters
    ----------
    dimension : as in `BuildOptions`.

    Raises
    ------
    MapError
        If it is no map, or a file of it is damaged.
    """
    old = PlaceMap.open(path.resolve(), verify=True)
    is_reduced = old.directions is not None
    if is_reduced and (len(old) <= EXACT_UP_TO or old.index_path):
        return old
    kept = old.header.files.keys() | {path.name for path in old.path.glob(layout.ONNX_FILES)}
    with writing_map(old.path, replace(old.header, version=VERSION)) as new:
        for name in kept - {layout.DESCRIPTORS_FILE, layout.INDEX_FILE}:
            shutil.copyfile(old.path / name, new / name)
        write_descriptors(old.descriptors, new, 0 if is_reduced else dimension)
    return PlaceMap.open(old.path)
