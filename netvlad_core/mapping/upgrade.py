"""A map of an older format, written anew in the present one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.map_writer import write_descriptors, writing_map
from netvlad_core.mapping.place_map import VERSION, PlaceMap


def upgrade(path: Path, dimension: int) -> PlaceMap:
    """Write a map in the present format, in its own place and in one step.

    Parameters
    ----------
    dimension : as in `BuildOptions`; a map that is reduced already stays as it is.

    Raises
    ------
    MapError
        If it is no map, or a file of it is damaged.
    """
    old = PlaceMap.open(path.resolve(), verify=True)
    if old.header.version == VERSION and old.directions is not None:
        return old
    with writing_map(old.path, replace(old.header, version=VERSION)) as new:
        for name in old.header.files.keys() - {layout.DESCRIPTORS_FILE, layout.INDEX_FILE}:
            shutil.copyfile(old.path / name, new / name)
        write_descriptors(old.descriptors, new, dimension)
    return PlaceMap.open(old.path)
