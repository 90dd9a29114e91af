"""A map learns from another drive: streets it does not know, and places that look different now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.frames import FrameSource, fingerprint_of
from netvlad_core.data.geometry import rotation_between
from netvlad_core.errors import MapError
from netvlad_core.files import hidden_beside, sole_writer, written_whole
from netvlad_core.localization.joining import Joint, join
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import sources
from netvlad_core.mapping.care.parts import Part, check_fit, write_parts
from netvlad_core.mapping.map_writer import check_output
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.statistics import UsualSimilarity

# Places of the map that a new one is compared with: within twice its spacing, and this many metres at least.
_AROUND = 3.0
_MOST_AROUND = 32  # of them: a bound of time
_TURNED = np.radians(45.0)


@dataclass(frozen=True, eq=False)
class Extended:
    """Outcome of `extend`.

    Attributes
    ----------
    place_map : the new map.
    joint : how the frame of the drive belongs to that of the map.
    driven, added : number of keyframes of the drive, and of those that became places.
    """

    place_map: PlaceMap
    joint: Joint
    driven: int
    added: int


def extend(
    map_path: Path, source: FrameSource, name: str, output: Path, options: BuildOptions, progress: bool = True
) -> Extended:
    """Write a map that also holds what a drive has seen, as a session of its own, in the frame of the map.

    The drive is localized in the map. Places of it are added where the map has none, and where it looks less
    like the map than neighbouring places of the map look like each other. A run that was stopped continues.

    Parameters
    ----------
    name : of the session.
    options : how the drive is described; its network is that of the map, and so are the images kept.

    Raises
    ------
    MapError
        If the drive cannot be localized in the map, the name is none, or something else than a map is at the
        output.
    NetvladError
        As `build_map` does.
    """
    localizer = Localizer.open(map_path, options.weights, options.device, precision=options.precision)
    place_map = localizer.place_map
    check_fit([place_map], output)
    if name in ("", ".", "..") or Path(name).name != name:
        raise MapError(f"{name!r} cannot be the name of a session: expected a plain name without slashes")
    # The drive as a map of its own, until it is joined; what a stopped run has made of it is found again.
    work = output.resolve().with_name(f".{output.resolve().name}.drive")
    stored, weights = place_map.header.store_images, options.weights or place_map.network_path
    kind = place_map.features.kind if place_map.features else "none"
    whole = replace(options, weights=weights, store_images=stored, store_features=kind, dimension=0)
    with sole_writer(work):
        drive = _described(source, work / name, whole, progress)
        try:
            joint = join(localizer, drive, progress, True)
        except MapError:
            _discard(drive)
            raise
        done = add_new(place_map, drive, joint, output, options.dimension)
        _discard(drive)
    return done


def _described(source: FrameSource, path: Path, options: BuildOptions, progress: bool) -> PlaceMap:
    """The map of a drive; one that a stopped run has made under the same key is taken as it is."""
    key_file = _key_file(path)
    key = fingerprint_of([options.weights], (source.fingerprint, options)) if options.weights else ""
    if path.is_dir() and key_file.is_file() and key_file.read_text(errors="replace") == key:
        return PlaceMap.open(path)
    key_file.unlink(missing_ok=True)
    drive = build_map(source, path, options, progress)
    with written_whole(key_file) as partial:
        partial.write_text(key)
    return drive


def _key_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.key")


def add_new(place_map: PlaceMap, drive: PlaceMap, joint: Joint, output: Path, dimension: int) -> Extended:
    """Write a map and what is new in the map of a drive; raises MapError as `write_parts` does.

    Parameters
    ----------
    joint : how the frame of the drive belongs to that of the map.
    dimension : as in `BuildOptions`.
    """
    part = joint.part(drive)
    kept = new_places(place_map, part)
    parts = [Part.of(place_map), replace(part, rows=part.rows[kept], poses=part.poses[kept])]
    made = write_parts(parts, output, "extend", dimension, source=sources([place_map, drive]))
    return Extended(made, joint, len(drive), len(kept))


def _discard(drive: PlaceMap) -> None:
    """Remove a map and its folder, but nothing that somebody else has put beside it."""
    check_output(drive.path)
    _key_file(drive.path).unlink(missing_ok=True)
    with hidden_beside(drive.path) as hidden:  # half a map would be taken for a stranger's folder
        drive.path.rename(hidden / "partial")
    with suppress(OSError):  # not empty
        drive.path.parent.rmdir()


def new_places(place_map: PlaceMap, drive: Part) -> np.ndarray:
    """Rows (K,) of a drive, in the frame of a map, that show something new.

    A place shows nothing new if one of the map, at most two spacings away and looking the same way, resembles
    it as much as neighbouring places of the map resemble each other.
    """
    usual = UsualSimilarity.of(place_map.descriptors)
    radius = max(_AROUND, 2 * place_map.header.spacing)
    known = np.flatnonzero(np.isfinite(place_map.poses[:, 0]))
    tree = cKDTree(place_map.poses[known, :3])
    kept = []
    for row, pose in enumerate(drive.poses):
        _, found = tree.query(pose[:3], min(_MOST_AROUND, len(known)), distance_upper_bound=radius)
        around = known[np.atleast_1d(found)[np.atleast_1d(found) < len(known)]]
        around = around[rotation_between(place_map.poses[around, 3:], pose[3:]) <= _TURNED]
        query = place_map.reduced(drive.place_map.whole_descriptors(drive.rows[[row]]))[0]
        likeness = np.asarray(place_map.descriptors[around], np.float32) @ query
        if likeness.max(initial=-np.inf) < 1 - usual.neighbour_difference:
            kept.append(row)
    return np.array(kept, np.int64)
