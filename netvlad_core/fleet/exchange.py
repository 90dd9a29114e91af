"""Maps go into a store and come out of it, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from time import time_ns
from typing import Any
from uuid import uuid4

from netvlad_core.errors import MapError
from netvlad_core.files import sole_writer
from netvlad_core.fleet.objects import StoreError
from netvlad_core.fleet.spaces import Space
from netvlad_core.fleet.store import PUBLISHED, PUSHED, Entry, FleetStore, checked_site
from netvlad_core.fleet.tables import literal
from netvlad_core.mapping.care.validation import faults_of
from netvlad_core.mapping.map_header import HEADER_FILE, INDEX_FILE, MapHeader
from netvlad_core.mapping.map_writer import check_output, describe_file, map_files, placed_whole
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.progress import bar

_IMAGES = 100  # decoded before a map is believed, spread over it
_SPARE = 1 << 26  # bytes to be left on the disk


def push(
    store: FleetStore,
    path: Path,
    site: str,
    robot: str | None = None,
    publishes: bool = False,
    progress: bool = True,
) -> tuple[Entry, bool]:
    """Put a map into a store, under a site.

    What is there already is not sent again, so a push that was stopped continues; a map that is in the log
    stays as it is. Pushes of several programs at once disturb nobody: the line in the log comes last.

    Parameters
    ----------
    robot : who pushes; default: the name of this machine.
    publishes : whether the map is the next version of the site, and not one more map that waits for it.

    Returns
    -------
    The line of the log, and whether it is new.

    Raises
    ------
    MapError
        If the map is damaged.
    StoreError
        If the name of the site is none, or the store cannot be reached.
    """
    checked_site(site)
    place_map = PlaceMap.open(path.resolve(), verify=True)
    path, header = place_map.path, place_map.header
    names = {HEADER_FILE, *map_files(path, header)}
    if not (path / INDEX_FILE).is_file():
        names.discard(INDEX_FILE)  # made anew
    files = {name: describe_file(path / name) for name in sorted(names)}
    session = files[HEADER_FILE]["sha256"]
    mine = Entry(
        site,
        session,
        uuid4().hex,
        PUBLISHED if publishes else PUSHED,
        robot or gethostname(),
        time_ns(),
        header.map_id,
        header.model_id,
        len(place_map),
        sum(stated["bytes"] for stated in files.values()),
        frozenset(_held(place_map)),
        files,
    )
    is_new = _logged(store, mine) is None
    if is_new:
        with bar(title="pushing", total=mine.bytes, unit="B", show=progress) as shown:
            for name, stated in files.items():
                for count in store.objects.put_file(path / name, _object_name(stated)):
                    shown.update(count)
        space = Space.of_model(store.objects, place_map)
        texts = {name: getattr(mine, name) for name in ("site", "session", "push", "robot", "model")}
        store.tables.add_places(texts, lambda: space.of_map(place_map))
        store.tables.add_to_log(mine.row())
    entry = _logged(store, mine)
    assert entry is not None
    _remove_leftovers(store, entry)
    return entry, is_new and entry.push == mine.push


def _held(place_map: PlaceMap) -> set[str]:
    """Ids of all maps that went into a map."""
    header = place_map.header
    earlier = {map_id for step in header.history for map_id in step["maps"]}
    return {header.map_id, *earlier, *(drive["map_id"] for drive in place_map.drives)}


def _logged(store: FleetStore, entry: Entry) -> Entry | None:
    """The line of the log about the same map and site, if there is one."""
    site = store.find_site(entry.site)
    return next((each for each in site.entries if each.session == entry.session), None) if site else None


def _remove_leftovers(store: FleetStore, entry: Entry) -> None:
    """Remove places of pushes of the same map that died, or that came second."""
    where = f"session = {literal(entry.session)} AND site = {literal(entry.site)}"
    if store.tables.count_places(where) > entry.places:
        store.tables.remove_places(f"{where} AND push != {literal(entry.push)}")


@dataclass(frozen=True, eq=False)
class Pulled:
    """Outcome of `pull`.

    Attributes
    ----------
    place_map : the map on disk.
    version : its number.
    is_new : whether it was not there already.
    """

    place_map: PlaceMap
    version: int
    is_new: bool


def pull(
    store: FleetStore,
    site: str,
    output: Path,
    version: int | None = None,
    accept: Callable[[PlaceMap], Any] = bool,
    progress: bool = True,
) -> Pulled:
    """Fetch a version of a site, the newest one by default, and put it at `output` in one step.

    What comes from a store is a stranger's: it replaces an earlier map only when all of it is sound. A pull
    that was stopped continues.

    Parameters
    ----------
    accept : called with the new map before it takes its place; what it raises keeps the earlier one.

    Raises
    ------
    StoreError
        If the site or the version does not exist, the store cannot be reached, or its map is not sound.
    MapError
        If something that is no map stands at the output, or a map that is not in the store.
    NetvladError
        If another program writes there.
    """
    found = store.site(site)
    entry = found.version(version)
    number = found.versions.index(entry) + 1
    output = output.resolve()
    with sole_writer(output) as work:
        check_output(output)
        if _is_there(entry, output):
            return Pulled(PlaceMap.open(output), number, False)
        _check_kept(store, output)
        fetch(store, entry, work, output, accept, progress)
    return Pulled(PlaceMap.open(output), number, True)


def fetch(
    store: FleetStore,
    entry: Entry,
    work: Path,
    output: Path,
    accept: Callable[[PlaceMap], Any] = bool,
    progress: bool = True,
) -> None:
    """Fetch one map of the log into a work folder, judge it and put it at the output."""
    free, size = shutil.disk_usage(work).free, sum(stated["bytes"] for stated in entry.files.values())
    if size + _SPARE > free:
        raise StoreError(f"{entry.map_id} takes {size} bytes; {output.parent} has {free} left: make room")
    parts = work / f"pull-{entry.session[:16]}"
    for earlier in work.glob("pull-*"):
        if earlier != parts:
            shutil.rmtree(earlier)
    parts.mkdir(exist_ok=True)
    with bar(title="pulling", total=size, unit="B", show=progress) as shown:
        for name, stated in entry.files.items():
            for count in store.objects.get_file(_object_name(stated), stated["bytes"], parts / name):
                shown.update(count)
    try:
        with placed_whole(output) as new:
            for name in entry.files:
                (parts / name).rename(new / name)
            if fault := _fault_of(entry, new):
                raise StoreError(
                    f"the map {entry.map_id} of {store.location} is refused, and {output} stays as it was: "
                    f"{fault}"
                )
            accept(PlaceMap.open(new))
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _fault_of(entry: Entry, new: Path) -> str:
    """What is wrong with a map that has come from a store, empty if nothing is."""
    for name, stated in entry.files.items():
        if describe_file(new / name) != stated:
            return f"{name} is not what was pushed"
    try:
        has_network = MapHeader.read(new / HEADER_FILE).weights is None
    except MapError as error:
        return str(error)
    return next(faults_of(new, _IMAGES, has_network), "")


def _is_there(entry: Entry, output: Path) -> bool:
    path = output / HEADER_FILE
    return path.is_file() and describe_file(path) == entry.files[HEADER_FILE]


def _check_kept(store: FleetStore, output: Path) -> None:
    """Refuse to replace a map that is nowhere else."""
    path = output / HEADER_FILE
    if path.is_file() and not store.tables.log(f"session = {literal(describe_file(path)['sha256'])}"):
        raise MapError(
            f"the map {output} is not in {store.location}, so it would be lost: push it first, or choose "
            "another output"
        )


def _object_name(stated: dict[str, Any]) -> str:
    return f"files/{stated['sha256']}"
