"""A map of an older format, written anew in the present one."""

from __future__ import annotations

from pathlib import Path

from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.map_writer import copy_files, map_files, write_descriptors, writing_map
from netvlad_core.mapping.place_map import PlaceMap
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
    kept = map_files(old.path, old.header) - {layout.DESCRIPTORS_FILE, layout.INDEX_FILE}
    with writing_map(old.path, old.header) as new:
        copy_files(old.path, kept, new)
        write_descriptors(old.descriptors, new, 0 if is_reduced else dimension)
    return PlaceMap.open(old.path)
