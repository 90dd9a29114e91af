"""Division into training, validation and test sets by place, to copy: no place is in two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from netvlad_core.data.place_sets.place_set import PlaceSet
from netvlad_core.data.radii import NEGATIVE_BEYOND
from netvlad_core.errors import SourceError

_SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def split_by_place(
    whole: PlaceSet,
    shares: Mapping[str, float] = _SHARES,
    block: float = 100.0,
    buffer: float = NEGATIVE_BEYOND,
    seed: int = 0,
) -> dict[str, PlaceSet]:
    """Deal out places at random: labels where every image has one, otherwise square blocks of the ground.

    Parameters
    ----------
    shares : split to its share of the images.
    block : side of a block in metres; the grid starts at the smallest x and y.
    buffer : metres; images nearer to a later split are left out of the earlier ones (training loses them, the
        test set none), so that blocks that touch do not share the view along their border.
    seed : random seed of the dealing.

    Raises
    ------
    SourceError
        If the set has neither labels nor positions, or too few places for the splits.
    """
    sides = (whole.database, whole.queries)
    places = _places(whole, block)
    names, place_of, counts = np.unique(places, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    middle = np.cumsum(counts[order]) - counts[order] / 2
    ends = np.cumsum(list(shares.values())) / sum(shares.values()) * len(places)
    split_of_place = np.empty(len(names), np.int64)
    split_of_place[order] = np.searchsorted(ends, middle)
    split_of = split_of_place[place_of.reshape(-1)]
    if len(missing := set(range(len(shares))) - set(split_of.tolist())):
        lacking = ", ".join(list(shares)[number] for number in sorted(missing))
        raise SourceError(
            f"{whole.name} has {len(names)} places (labels, or blocks of {block:g} m), too few for "
            f"{', '.join(shares)}: nothing is left for {lacking}; take smaller blocks"
        )
    if all(side.positions is not None or not len(side) for side in sides):
        positions = np.concatenate([side.positions for side in sides if side.positions is not None])
        split_of = _with_buffer(split_of, positions, buffer)
    database, queries = split_of[: len(whole.database)], split_of[len(whole.database) :]
    return {
        name: replace(whole.with_images(database == number, queries == number), split=name)
        for number, name in enumerate(shares)
    }


def _places(whole: PlaceSet, block: float) -> np.ndarray:
    """Place of each image of the database, then of the queries: a label, or the name of a block."""
    sides = [side for side in (whole.database, whole.queries) if len(side)]
    labels = [side.labels for side in sides if side.labels is not None]
    if len(labels) == len(sides):
        return np.concatenate(labels)
    positions = [side.positions for side in sides if side.positions is not None]
    if len(positions) < len(sides):
        raise SourceError(f"{whole.name} has neither positions nor labels of all images to split by")
    everywhere = np.concatenate(positions)
    cells = np.floor((everywhere - everywhere.min(axis=0)) / block).astype(np.int64)
    return np.array([f"{x} {y}" for x, y in cells])


def _with_buffer(split_of: np.ndarray, positions: np.ndarray, buffer: float) -> np.ndarray:
    """The splits with -1 for images that lie nearer than the buffer to a later split."""
    split_of = split_of.copy()
    for number in range(split_of.max() - 1, -1, -1):
        later = positions[split_of > number]
        rows = np.flatnonzero(split_of == number)
        distances, _ = cKDTree(later).query(positions[rows])
        split_of[rows[distances < buffer]] = -1
    return split_of
