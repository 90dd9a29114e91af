"""The places of a map as a source of images, to train another network on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.errors import ImageError, MapError, SourceError
from netvlad_core.mapping.map_header import HEADER_FILE
from netvlad_core.mapping.place_map import PlaceMap


def is_map(path: Path) -> bool:
    return (path / HEADER_FILE).is_file()


class MapSource:
    """The places of a map that keeps its images, as a `FrameSource`."""

    is_stream = False
    remark = ""

    def __init__(self, place_map: PlaceMap) -> None:
        header = place_map.header
        if header.store_images == "none":
            raise SourceError(
                f"the map {place_map.path} keeps no images; build it with --store-images full, or name the "
                "drive itself"
            )
        self.description = f"map {header.map_id}"
        self.frame_id = header.frame_id
        self.fingerprint = header.map_id
        self.skipped: Counter[str] = Counter()
        self.camera = place_map.camera
        self.origin = header.origin
        self._map = place_map

    @classmethod
    def open(cls, path: Path) -> MapSource:
        """Open a map folder; raises SourceError if the map is damaged or keeps no images."""
        try:
            return cls(PlaceMap.open(path))
        except MapError as error:
            raise SourceError(str(error)) from error

    @property
    def usable(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[Frame]:
        for place, name in enumerate(self._map.names):
            stamp = int(self._map.stamps[place])
            yield Frame(name, stamp, self._map.pose(place), partial(self._image, place))

    def _image(self, place: int) -> np.ndarray:
        try:
            image = self._map.image(place)
        except MapError as error:
            raise ImageError(str(error)) from error
        assert image is not None  # the map keeps images
        return image
