"""Which site is this, and where in it: images are compared with the places of a whole fleet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netvlad_core.errors import NetvladError
from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.spaces import Space
from netvlad_core.fleet.store import Entry, FleetStore
from netvlad_core.fleet.tables import literal
from netvlad_core.mapping.map_header import NETWORK_FILE, ONNX_FILE
from netvlad_core.model.extractor import Extractor

# More than one place of an older version of a site may come before the one that counts.
_ASKED = 4


@dataclass(frozen=True)
class Sighting:
    """A place that resembles an image.

    Attributes
    ----------
    site, robot, map_id : where the place is from, and in which map.
    version : whether that map is the newest version of the site, not one that waits for the next.
    place : row in the map.
    stamp : nanoseconds.
    similarity : of image and place, in the space of the store.
    pose : x y z qx qy qz qw in the frame of the map; None without.
    """

    site: str
    robot: str
    map_id: str
    is_version: bool
    place: int
    stamp: int
    similarity: float
    pose: list[float] | None


class Finder:
    """Looks for images in a store; reads the log once.

    Raises
    ------
    StoreError
        If the store holds no map of the model, or cannot be reached; `find` does the latter, too.
    """

    def __init__(self, store: FleetStore, model_id: str, dimension: int) -> None:
        self._store = store
        self._live: dict[tuple[str, str], tuple[Entry, bool]] = {}
        for site in store.sites():
            for entry in site.live:
                self._live[site.name, entry.session] = entry, entry is site.versions[-1]
        models = {entry.model for entry, _ in self._live.values()}
        if model_id not in models:
            raise StoreError(
                f"{store.location} holds no map of the model {model_id}, only of "
                f"{', '.join(sorted(models)):.1000}"
            )
        self._where = f"model = {literal(model_id)}"
        self._space = Space.known(store.objects, model_id, dimension)

    def find(self, descriptor: np.ndarray, count: int = 5) -> list[Sighting]:
        """The most similar places for a descriptor (D,) float32 of the model, best first."""
        query = self._space.of_descriptors(descriptor[None])[0]
        sightings: list[Sighting] = []
        for row in self._store.tables.nearest(query, self._where, _ASKED * count):
            entry, is_version = self._live.get((row["site"], row["session"]), (None, False))
            if entry is not None and len(sightings) < count:
                pose = row["pose"] if np.isfinite(row["pose"]).all() else None
                place = (row["place"], row["stamp"], row["similarity"], pose)
                sightings.append(Sighting(entry.site, entry.robot, entry.map_id, is_version, *place))
        return sightings


def share_of_sites(best: Iterable[Sighting]) -> dict[str, float]:
    """Share of images by the site of the place that resembles each most, the largest first."""
    names = [sighting.site for sighting in best]
    counts = {name: names.count(name) / len(names) for name in dict.fromkeys(names)}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def open_network(store: FleetStore, folder: Path, device: str = "auto", precision: str = "auto") -> Extractor:
    """Open the network of the newest map that holds one, fetched to a folder.

    Raises
    ------
    StoreError
        If no map holds its network.
    """
    entries = [entry for site in store.sites() for entry in site.live if NETWORK_FILE in entry.files]
    if not entries:
        raise StoreError(f"no map in {store.location} holds its network: name it with --weights")
    newest = max(entries, key=lambda entry: entry.pushed)
    for name in (NETWORK_FILE, ONNX_FILE):
        if stated := newest.files.get(name):
            for _ in store.objects.get_file(f"files/{stated['sha256']}", stated["bytes"], folder / name):
                pass
    extractor = Extractor.load(folder / NETWORK_FILE, device, precision=precision)
    if extractor.model_id != newest.model:
        raise NetvladError(f"the network of {newest.map_id} is {extractor.model_id}, not {newest.model}")
    return extractor
