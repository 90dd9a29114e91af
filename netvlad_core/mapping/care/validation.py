"""All that is wrong with a map on disk, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from netvlad_core.errors import NetvladError
from netvlad_core.mapping.contents import check_descriptors
from netvlad_core.mapping.map_header import HEADER_FILE, MapHeader
from netvlad_core.mapping.place_map import PlaceMap, checked_file


def faults_of(path: Path, images: int | None = None, network: bool = True) -> Iterator[str]:
    """Check every checksum, what the files hold, images, local features and the network; a sentence a fault.

    What cannot be looked at because something before it is damaged is not judged: images and network only in
    a map that opens.

    Parameters
    ----------
    images : number of images to decode, spread over the map; None for all.
    network : whether the network is opened, too.
    """
    try:
        header = MapHeader.read(path / HEADER_FILE)
    except NetvladError as error:
        yield str(error)
        return
    is_whole = True
    for name, stated in header.files.items():
        try:
            checked_file(path / name, stated, verify=True)
        except NetvladError as error:
            is_whole = False
            yield str(error)
    if not is_whole:
        return
    try:
        place_map = PlaceMap.open(path)
        check_descriptors(path, place_map.descriptors, header.is_reduced)
    except NetvladError as error:
        yield str(error)
        return
    yield from _broken_images(place_map, images)
    yield from _broken_features(place_map)
    if not network:
        return
    try:
        place_map.open_extractor(device="cpu")
    except NetvladError as error:
        yield str(error)


def _broken_features(place_map: PlaceMap) -> Iterator[str]:
    for place in range(len(place_map)):
        try:
            place_map.stored_features(place)
        except NetvladError as error:
            yield str(error)


def _broken_images(place_map: PlaceMap, most: int | None) -> Iterator[str]:
    if place_map.images is None:
        return
    count = len(place_map) if most is None else min(most, len(place_map))
    for place in np.unique(np.linspace(0, len(place_map) - 1, count).round().astype(int)).tolist():
        try:
            place_map.image(place)
        except NetvladError as error:
            yield str(error)
