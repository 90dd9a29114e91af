"""The drives of many robots become maps at once, with one network for all, and then one map.

Network and directions are fitted on a sample of all drives and stay as they are from then on: drives that
come later get maps that can be compared with the earlier ones. Each drive is a task that starts anew if its
process dies, and goes on where it was. A second run does what the first one has left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.data.bags.source import SourceOptions
from netvlad_core.data.frames import FrameSource, fingerprint_of
from netvlad_core.data.sources import open_source
from netvlad_core.errors import MapError, NetvladError, SourceError
from netvlad_core.files import sole_writer, written_whole
from netvlad_core.fleet.joint_map import join_maps
from netvlad_core.fleet.workers import open_workers
from netvlad_core.mapping.builder import BuildOptions, build_map, fitted_weights
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.keyframes import SAMPLE_IMAGES, default_rule, sample_frames
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import principal_directions
from netvlad_core.model.extractor import Extractor
from netvlad_core.progress import bar

MERGED = "merged"  # name of the map of all drives
_RECORD, _MARK = "build_maps.json", "netvlad build-maps"
_DIRECTIONS = "directions.npy"
_DESCRIBED = 2048  # images from which the directions are taken: as many as one map gives


@dataclass(frozen=True)
class Drive:
    """One drive: where it is recorded, and how it is read. Its map has the name."""

    name: str
    path: Path
    options: SourceOptions = field(default_factory=SourceOptions)

    def open(self) -> FrameSource:
        return open_source(self.path, self.options)


@dataclass(frozen=True)
class Built:
    """Outcome of `build_maps`, all by the names of drives.

    Attributes
    ----------
    maps : number of places of each map.
    made : names of those that were not there before.
    failures : why a drive has no map.
    left_out : why a map is not part of the merged one.
    merged : number of places of the merged map, 0 if there is none.
    """

    maps: dict[str, int]
    made: list[str]
    failures: dict[str, str]
    left_out: dict[str, str]
    merged: int


@dataclass(frozen=True)
class _Task:
    drive: Drive
    output: Path
    options: BuildOptions


def build_maps(
    drives: Sequence[Drive],
    output: Path,
    options: BuildOptions,
    address: str | None = None,
    workers: int | None = None,
    merges: bool = True,
    same_frame: bool = False,
    progress: bool = True,
) -> Built:
    """Build a map of each drive, below `output`, and one of all that can be joined.

    Parameters
    ----------
    options : for each map; without weights the network is fitted on all drives.
    address, workers : as in `open_workers`. On a cluster all machines see the drives and the output by the
        same paths.
    same_frame : whether the poses of all drives are in one frame already.

    Raises
    ------
    NetvladError
        If names are no names or not unique, no drive can be read, the output holds what no such run has
        written or was begun with another network, another run is at work there, or Ray cannot start.
    """
    _check_names([drive.name for drive in drives])
    output = output.resolve()
    with sole_writer(output):
        record = _read_record(output)
        sources, failures = _opened(drives)
        shared = _frozen(list(sources.values()), output, options, record, progress)
        tasks, keys = [], {}
        for drive in drives:
            if source := sources.get(drive.name):
                keys[drive.name] = _key(source, shared)
                if not _is_done(record, output, drive.name, keys[drive.name]):
                    tasks.append(_Task(drive, output / drive.name, shared))
        made = []
        if tasks:
            with open_workers(address, workers) as engine:
                for task, result in engine.run(_build, tasks, "drives", progress):
                    name = task.drive.name
                    if isinstance(result, NetvladError):
                        failures[name] = str(result)
                        continue
                    made.append(name)
                    record["maps"][name] = {"key": keys[name], "map_id": result}
                    _write_record(output, record)
        maps = {
            drive.name: PlaceMap.open(output / drive.name) for drive in drives if drive.name not in failures
        }
        left_out = (
            _merge(list(maps.values()), output, options, same_frame, record, progress) if merges else {}
        )
    merged = len(PlaceMap.open(output / MERGED)) if (output / MERGED).exists() else 0
    counts = {name: len(place_map) for name, place_map in maps.items()}
    return Built(counts, made, failures, left_out, merged)


def _build(task: _Task) -> str:
    """Build one map, in a worker process; returns its id."""
    return build_map(task.drive.open(), task.output, task.options, progress=False).header.map_id


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise NetvladError("expected drives to build maps of, found none")
    for name in names:
        if Path(name).name != name or name in (".", "..", MERGED, _RECORD) or name.startswith("."):
            raise NetvladError(f"{name!r} cannot be the name of a map: rename the drive")
        if names.count(name) > 1:
            raise NetvladError(f"several drives are named {name}, and maps have their names: rename one")


def _opened(drives: Sequence[Drive]) -> tuple[dict[str, FrameSource], dict[str, str]]:
    """The drives that can be read, and why the others cannot."""
    sources, failures = {}, {}
    for drive in drives:
        try:
            sources[drive.name] = drive.open()
        except (NetvladError, OSError) as error:
            failures[drive.name] = str(error)
    if not sources:
        name, reason = next(iter(failures.items()))
        raise SourceError(f"none of the {len(drives)} drives can be read; {name}: {reason}")
    return sources, failures


# --- One network for all ------------------------------------------------------------------------------------


def _frozen(
    sources: list[FrameSource], output: Path, options: BuildOptions, record: dict[str, Any], progress: bool
) -> BuildOptions:
    """The options with the network and the directions that all maps share, fitted unless they are there."""
    chosen = (options.spec, options.seed, options.dimension)
    given = [path for path in (options.weights, options.backbone_weights) if path is not None]
    key = fingerprint_of(given, chosen)
    if record.setdefault("network", key) != key:
        raise NetvladError(
            f"the maps in {output} were begun with another network or dimension, and can be compared only "
            "among themselves; choose the same options, or another output"
        )
    _write_record(output, record)
    weights = options.weights or fitted_weights(
        lambda: bar(_images(sources, options, SAMPLE_IMAGES), "fitting", SAMPLE_IMAGES, show=progress),
        options,
        output,
    )
    shared = replace(options, weights=weights, keep_network=options.weights is None)
    path = output / _DIRECTIONS
    if "directions" not in record:
        images = bar(_images(sources, options, _DESCRIBED), "describing", _DESCRIBED, show=progress)
        extractor = Extractor.load(weights, options.device, options.batch_size, options.precision)
        described = np.concatenate([extractor(image) for image in images])
        record["directions"] = 0 < options.dimension < min(described.shape)
        if record["directions"]:
            with written_whole(path) as partial:
                np.save(partial, principal_directions(described, options.dimension))
        _write_record(output, record)
    return replace(shared, directions=path) if record["directions"] else replace(shared, dimension=0)


def _images(sources: list[FrameSource], options: BuildOptions, most: int) -> Iterator[np.ndarray]:
    """At most `most` keyframes of all drives together, as many of each."""
    chosen = sources[:: max(1, -(-len(sources) // most))]
    for source in chosen:
        rule = options.keyframes or default_rule(source, options.require_poses)
        try:
            yield from sample_frames(source, rule, False, most // len(chosen))()
        except SourceError:  # the task of this drive will say it
            continue


# --- What is done already -----------------------------------------------------------------------------------


def _key(source: FrameSource, options: BuildOptions) -> str:
    files = [path for path in (options.weights, options.directions) if path is not None]
    return fingerprint_of(files, (source.fingerprint, options))


def _is_done(record: dict[str, Any], output: Path, name: str, key: str) -> bool:
    done = record["maps"].get(name, {})
    try:
        return done.get("key") == key and PlaceMap.open(output / name).header.map_id == done["map_id"]
    except MapError:
        return False


def _read_record(output: Path) -> dict[str, Any]:
    path = output / _RECORD
    if not output.exists() or not any(output.iterdir()):
        output.mkdir(parents=True, exist_ok=True)
        return {"written_by": _MARK, "maps": {}}
    try:
        record = json.loads(path.read_text())
        if record["written_by"] == _MARK and isinstance(record["maps"], dict):
            return record
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise NetvladError(
        f"{output} holds something that no `{_MARK}` has written; it is left alone: choose another output"
    )


def _write_record(output: Path, record: dict[str, Any]) -> None:
    with written_whole(output / _RECORD) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n")


# --- One map of all -----------------------------------------------------------------------------------------


def _merge(
    maps: list[PlaceMap],
    output: Path,
    options: BuildOptions,
    same_frame: bool,
    record: dict[str, Any],
    progress: bool,
) -> dict[str, str]:
    """Merge what can be joined, unless that is done; returns why a map is not part of it."""
    ids = [place_map.header.map_id for place_map in maps]
    done = record.get(MERGED, {})
    if done.get("of") == ids and (len(ids) < 2 or (output / MERGED).is_dir()):
        return done["left_out"]
    left_out: dict[str, str] = {}
    if len(maps) > 1:
        joint = join_maps(maps, same_frame, options.device, progress)
        left_out = {path.name: reason for path, reason in joint.left_out.items()}
        if joint.joints:
            merge(joint.maps, joint.joints, output / MERGED, options.dimension)
    record[MERGED] = {"of": ids, "left_out": left_out}
    _write_record(output, record)
    return left_out
