"""The maps of a site become its next version: merged as far as they can be joined, and pruned."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from netvlad_core.fleet.exchange import fetch, push
from netvlad_core.fleet.joint_map import join_maps
from netvlad_core.fleet.store import Entry, FleetStore, Site
from netvlad_core.fleet.tables import literal
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.care.prune import prune
from netvlad_core.mapping.place_map import PlaceMap


@dataclass(frozen=True)
class Compacted:
    """Outcome of `compact`.

    Attributes
    ----------
    version : number of the newest version of the site.
    places : of it.
    merged : ids of the maps that are new in it.
    left_out : ids of those that still wait, and why.
    """

    version: int
    places: int
    merged: list[str]
    left_out: dict[str, str]


def compact(
    store: FleetStore,
    site: str,
    work: Path,
    dimension: int,
    loss: float | None = 0.01,
    places: int | None = None,
    same_frame: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Compacted:
    """Merge what waits at a site into its newest version, prune it, and publish it as the next version.

    The frame stays that of the newest version. Maps that cannot be joined to it go on waiting, and are named.
    Earlier versions and the maps that were merged stay in the store; images are no longer looked for in them.

    Parameters
    ----------
    work : an empty folder for the maps.
    dimension : as in `BuildOptions`.
    loss, places : as in `prune`; without a loss nothing is pruned.
    same_frame : whether the poses of all maps are in one frame already.

    Raises
    ------
    StoreError
        If there is no such site, or the store cannot be reached.
    MapError
        If the budget of places costs more recall than the loss.
    """
    known = store.site(site)
    waiting = known.waiting
    result = Compacted(len(known.versions), known.versions[-1].places, [], {})
    if waiting:
        maps = [_fetched(store, entry, work / str(n), progress) for n, entry in enumerate(known.live)]
        ids = {place_map.path: place_map.header.map_id for place_map in maps}
        models = {place_map.header.model_id for place_map in maps}
        same = [place_map for place_map in maps if place_map.header.model_id == maps[0].header.model_id]
        joint = join_maps(same, same_frame, device, progress)
        left_out = {ids[path]: reason for path, reason in joint.left_out.items()}
        if len(models) > 1:
            text = f"its model is not {maps[0].header.model_id}, that of the site"
            left_out |= {ids[each.path]: text for each in maps if each not in same}
        result = Compacted(result.version, result.places, [], left_out)
        if joint.joints:
            made = merge(joint.maps, joint.joints, work / "whole" / site, dimension)
            if loss is not None:
                made = prune(made, work / "pruned" / site, places, None, loss).place_map
            push(store, made.path, site, publishes=True, progress=progress)
            known = store.site(site)
            merged = [place_map.header.map_id for place_map in joint.maps[1:]]
            result = Compacted(len(known.versions), len(made), merged, left_out)
    _forget_superseded(store, known)
    store.tables.tidy()
    return result


def _fetched(store: FleetStore, entry: Entry, folder: Path, progress: bool) -> PlaceMap:
    """A map of the log in a folder, under its own name."""
    name = entry.map_id.rpartition("@")[0]
    output = folder / (Path(name).name or "map")
    work = folder / "work"
    work.mkdir(parents=True)
    fetch(store, entry, work, output, progress=progress)
    shutil.rmtree(work)
    return PlaceMap.open(output)


def _forget_superseded(store: FleetStore, site: Site) -> None:
    """Remove the places of maps that the newest version holds, and of earlier versions, from the table."""
    live = {entry.session for entry in site.live}
    gone = [entry.session for entry in site.entries if entry.session not in live]
    if gone:
        sessions = ", ".join(map(literal, gone))
        store.tables.remove_places(f"site = {literal(site.name)} AND session IN ({sessions})")
