"""A map put together from places of other maps: the one way in which all care for maps writes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.geometry.packing import StoredFeatures
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.map_writer import (
    check_output,
    copy_files,
    map_files,
    write_descriptors,
    write_places,
    writing_map,
)
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places, one_or_each

_log = logging.getLogger(__name__)
_STORED = ("none", "thumbnail", "full")  # from the least to the most


@dataclass(frozen=True, eq=False)
class Part:
    """Places of one map that go into another one.

    Attributes
    ----------
    place_map : where they are from.
    rows : (K,) int64, in the order of the new map.
    poses : (K, 7) float64, in the frame of the new map.
    """

    place_map: PlaceMap
    rows: np.ndarray
    poses: np.ndarray

    @classmethod
    def of(cls, place_map: PlaceMap, rows: np.ndarray | None = None, joint: Pose | None = None) -> Part:
        """Places of a map, by default all, carried into another frame by `joint`: that one <- the map's."""
        chosen = np.arange(len(place_map)) if rows is None else np.asarray(rows, np.int64)
        poses = place_map.poses[chosen]
        return cls(place_map, chosen, poses if joint is None else moved(poses, joint))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_reduced(self) -> bool:
        return self.place_map.directions is not None


def moved(poses: np.ndarray, joint: Pose) -> np.ndarray:
    """Poses (N, 7) in another frame; NaN stays NaN. `joint` is that frame <- theirs."""
    result, known = np.array(poses, np.float64), np.isfinite(poses).all(axis=1)
    if known.any():
        result[known, :3] = joint.rotation.apply(poses[known, :3]) + joint.position
        result[known, 3:] = (joint.rotation * Rotation.from_quat(poses[known, 3:])).as_quat()
    return result


def check_fit(maps: Sequence[PlaceMap], output: Path) -> None:
    """Raise MapError unless all maps are of one model, and the output is none of them nor in one of them.

    It also raises if something else than a map is at the output.
    """
    target, first = output.resolve(), maps[0].header
    for place_map in maps:
        source = place_map.path.resolve()
        if source in (target, *target.parents):
            raise MapError(f"{output} is the map {place_map.path} or lies in it; choose another output")
        header = place_map.header
        if (header.model_id, header.dimension) != (first.model_id, first.dimension):
            raise MapError(
                f"{maps[0].path} was built with the model {first.model_id}, {place_map.path} with "
                f"{header.model_id}: their descriptors cannot be compared; build both with one "
                "model (`netvlad build-map --weights`)"
            )
    check_output(output)


def write_parts(
    parts: Sequence[Part],
    output: Path,
    operation: str,
    dimension: int,
    has_features: bool = True,
    **changes: Any,
) -> PlaceMap:
    """Write the map that consists of some places of one or several maps, in one step.

    The model is that of the first part. Images go with the map if all parts have them, else it is said in the
    log that they are dropped; so it is with local features. Descriptors are read block by block. Those of one
    reduced map keep its directions; those of several are reduced anew, along directions of them all.

    Parameters
    ----------
    operation : what is done, for the map's history.
    dimension : as in `BuildOptions`.
    has_features : False drops the local features.
    changes : fields of the header that are to be others than those of the first part.

    Raises
    ------
    MapError
        If there are no places, the maps do not fit together, or something else than a map is at the output.
    """
    maps = [part.place_map for part in parts]
    check_fit(maps, output)
    parts = [part for part in parts if len(part)]
    if not parts:
        raise MapError(f"{maps[0].path}: no place is left, and a map needs one")
    stored = _STORED[min(_STORED.index(place_map.header.store_images) for place_map in maps)]
    header = replace(
        maps[0].header,
        weights=_network_owner(maps).header.weights,
        skipped=dict(sum((Counter(place_map.header.skipped) for place_map in maps), Counter())),
        store_images=_told_if_dropped(maps, stored),
        history=history_with(maps, operation),
    )
    header = replace(header, **changes)
    described = Described.of(parts, header.store_images != "none")
    if not has_features:
        described.places.features = None
    with writing_map(output, replace(header, sessions=described.drives)) as new:
        _write_rows(parts, new, dimension)
        write_places(new, described.places, described.names)
        if header.weights is None:
            owner = _network_owner(maps)
            files = map_files(owner.path, owner.header) & {layout.NETWORK_FILE, *layout.ONNX_FILES}
            copy_files(owner.path, files, new)
    return PlaceMap.open(output)


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of the places of several parts but for their descriptors.

    Attributes
    ----------
    places : without descriptors.
    names : of the places' frames in their source.
    drives : name, source and first map of each session.
    """

    places: Places
    names: list[str]
    drives: list[dict[str, str]]

    @classmethod
    def of(cls, parts: Sequence[Part], has_images: bool) -> Described:
        """Join the places of some parts; `has_images` says whether their images come with them."""
        sessions, drives, cameras = _sessions(parts)
        camera, each = one_or_each(cameras)
        places = Places(
            np.empty((0, 0), np.float32),
            np.concatenate([part.place_map.stamps[part.rows] for part in parts]),
            np.concatenate([part.poses for part in parts]),
            camera,
            _Images(parts) if has_images else None,
            sessions,
            each,
            _one_kind(parts),
        )
        names = [part.place_map.names[row] for part in parts for row in part.rows.tolist()]
        return cls(places, names, drives)


def _write_rows(parts: Sequence[Part], folder: Path, dimension: int) -> None:
    only = parts[0].place_map
    if len(parts) == 1 and parts[0].is_reduced and len(parts[0]) >= only.header.stored_dimension:
        copy_files(only.path, [layout.DIRECTIONS_FILE], folder)
        write_descriptors(_JointRows(parts, only.header.stored_dimension), folder, 0)
        return
    rows = _JointRows(parts)
    write_descriptors(rows, folder, dimension, any(part.is_reduced for part in parts))


@dataclass(frozen=True, eq=False)
class _Joint:
    """Rows of several parts, one part after the other."""

    parts: Sequence[Part]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _within(self, rows: np.ndarray) -> Iterable[tuple[np.ndarray, Part, np.ndarray]]:
        """For each part that some rows are from: which of them, the part, and their rows in its map."""
        owners = np.searchsorted(self._ends, rows, "right")
        for owner in np.unique(owners).tolist():
            chosen, part = np.flatnonzero(owners == owner), self.parts[owner]
            yield chosen, part, rows[chosen] - (self._ends[owner] - len(part))


@dataclass(frozen=True, eq=False)
class _JointRows(_Joint):
    """Descriptors (N, D) float32 as the network gave them; with `stored` the coordinates in a reduced map."""

    stored: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.stored or self.parts[0].place_map.header.dimension

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        found = np.empty((len(wanted), self.shape[1]), np.float32)
        for chosen, part, inside in self._within(wanted):
            if self.stored:
                found[chosen] = part.place_map.descriptors[part.rows[inside]]
            else:
                found[chosen] = part.place_map.whole_descriptors(part.rows[inside])
        return found


class _Images(_Joint, Sequence[bytes]):
    """JPEG files, read when they are written."""

    def __getitem__(self, row: Any) -> Any:
        _, part, inside = next(iter(self._within(np.array([range(len(self))[row]]))))
        assert part.place_map.images is not None  # all maps have them
        return part.place_map.images[int(part.rows[inside[0]])]


class _FeatureRows(_Joint, Sequence[bytes]):
    """Packed local features, read when they are written."""

    def __getitem__(self, row: Any) -> Any:
        _, part, inside = next(iter(self._within(np.array([range(len(self))[row]]))))
        assert part.place_map.features is not None  # all maps have them
        return part.place_map.features.rows[int(part.rows[inside[0]])]


def _one_kind(parts: Sequence[Part]) -> StoredFeatures | None:
    """Local features of all places, if all have them and of one kind; what is dropped is said in the log."""
    kinds = {part.place_map.features.kind if part.place_map.features else None for part in parts}
    kind = next(iter(kinds))
    if len(kinds) == 1:
        return None if kind is None else StoredFeatures(kind, _FeatureRows(parts))
    _log.warning("local features are dropped: a map has those of all places and of one kind")
    return None


def _network_owner(maps: Sequence[PlaceMap]) -> PlaceMap:
    """The first map that holds the network; if none does, the first one that knows where it is."""
    holders = [place_map for place_map in maps if place_map.header.weights is None]
    return next(iter([*holders, *(each for each in maps if each.network_path.is_file()), *maps]))


def _told_if_dropped(maps: Sequence[PlaceMap], stored: str) -> str:
    if stored == "none" and any(place_map.images is not None for place_map in maps):
        without = next(place_map for place_map in maps if place_map.images is None)
        _log.warning("images are dropped: %s has none, and a map has those of all places", without.path)
    return stored


def _sessions(
    parts: Sequence[Part],
) -> tuple[np.ndarray, list[dict[str, str]], list[Camera | None]]:
    """Sessions (N,) int32 of the new map, what is known of each and its camera; those without a place go."""
    numbers = []
    drives: list[dict[str, str]] = []
    cameras: list[Camera | None] = []
    for part in parts:
        used, own = np.unique(part.place_map.sessions[part.rows], return_inverse=True)
        numbers.append(own + len(drives))
        drives += [part.place_map.drives[session] for session in used.tolist()]
        cameras += [part.place_map.camera_of_session(session) for session in used.tolist()]
    return np.concatenate(numbers).astype(np.int32), drives, cameras


def history_with(maps: Sequence[PlaceMap], operation: str) -> list[dict[str, Any]]:
    """History of a map that an operation makes of some maps."""
    steps: list[dict[str, Any]] = []
    for place_map in maps:
        steps += [step for step in place_map.header.history if step not in steps]
    return [*steps, {"operation": operation, "maps": [place_map.header.map_id for place_map in maps]}]
