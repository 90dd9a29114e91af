"""Places that others make superfluous leave a map, at a loss of recall that is measured and bounded.

A place stands for those around it, as well as it resembles them and the less the farther away it is. The
places to keep are chosen one by one: each time the one that raises most how well all places are stood for
(greedy facility location). So straights that look alike thin out first, but evenly, since the localizer
follows the robot from place to place; a view in rare light resembles none of its neighbours and stays.

Likeness counts from what is usual among the places of the same drive to 1. Images of one light may all be
more alike than those of another: by bare similarity one drive thins out where the other one stays dense, and
the localizer lost every third pose by night that it keeps now.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.errors import MapError
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.statistics import UsualSimilarity, usual_by_drive

# Of a place, nearest first: a bound of memory.
_NEIGHBOURS = 64
# Cameras turned further than this see different things.
_TURNED = np.radians(60.0)
_QUERIES = 2000  # places that are searched to measure recall, spread over the map
_BLOCK = 256
_ARRAY_HEAD = 128  # bytes of a file of NumPy before its numbers
_LEAST_CONTRAST = 0.05  # of a drive whose images are all alike; by design
_FIXED = {
    layout.DIRECTIONS_FILE,
    layout.NETWORK_FILE,
    layout.CAMERA_FILE,
    layout.CAMERAS_FILE,
    *layout.ONNX_FILES,
}


@dataclass(frozen=True, eq=False)
class Pruned:
    """Outcome of `prune`.

    Attributes
    ----------
    place_map : the new map.
    recall_before, recall_after : share of the places whose most similar other place is within 10 m.
    """

    place_map: PlaceMap
    recall_before: float
    recall_after: float


def prune(
    place_map: PlaceMap, output: Path, places: int | None, size: int | None, most_loss: float = 0.01
) -> Pruned:
    """Write the map without its superfluous places.

    Recall is measured on the images of the map itself: each place is searched among the places that are kept,
    itself excepted.

    Parameters
    ----------
    places, size : number of places or bytes to stay below; without them as many places go as `most_loss`
        allows.
    most_loss : largest drop of Recall@1.

    Raises
    ------
    MapError
        If the budget costs more recall, or has room for no place.
    """
    order = importance(place_map)
    before = recall_among(place_map, order)
    count = len(order) if places is None else min(places, len(order))
    if size is not None:
        count = min(count, _fitting(place_map, order, size))
    if count < 1:
        raise MapError(f"{place_map.path}: {size} bytes have no room for a single place")
    if places is None and size is None:
        count = _fewest(place_map, order, before - most_loss)
    kept = np.sort(order[:count])
    after = recall_among(place_map, kept)
    if before - after > most_loss:
        raise MapError(
            f"{place_map.path}: with {count} of {len(order)} places Recall@1 among the map's own images "
            f"falls from {100 * before:.1f} to {100 * after:.1f} %; keep more, or allow it with --loss "
            f"{before - after + 5e-4:.3f}"
        )
    return Pruned(write_parts([Part.of(place_map, kept)], output, "prune", 0), before, after)


def importance(place_map: PlaceMap) -> np.ndarray:
    """Rows (N,) of a map, the place that is needed most first; any number of the first ones is a choice."""
    neighbours, similarities, nearness = _neighbours(place_map)
    whole = UsualSimilarity.of(place_map.descriptors)
    drives = usual_by_drive(place_map.descriptors, place_map.sessions, whole)
    usual = np.array([drive.level for drive in drives])[place_map.sessions][:, None]
    worth = np.clip((similarities - usual) / np.maximum(1 - usual, _LEAST_CONTRAST), 0.0, 1.0)
    worth *= nearness
    # The places that a place stands for: those that have it among their neighbours.
    by_place = np.argsort(neighbours, axis=None, kind="stable")
    ends = np.searchsorted(neighbours.ravel()[by_place], np.arange(len(neighbours) + 1))
    stood_for = np.zeros(len(neighbours))

    def gain(place: int) -> tuple[float, np.ndarray, np.ndarray]:
        pairs = by_place[ends[place] : ends[place + 1]]
        others, values = pairs // neighbours.shape[1], worth.ravel()[pairs]
        return float(np.maximum(values - stood_for[others], 0.0).sum()), others, values

    # Gains only fall: one that is still the largest when it is computed anew is the largest of all.
    queue = [(-gain(place)[0], place) for place in range(len(neighbours))]
    heapq.heapify(queue)
    order = []
    while queue:
        _, place = heapq.heappop(queue)
        now, others, values = gain(place)
        if queue and -now > queue[0][0]:
            heapq.heappush(queue, (-now, place))
            continue
        np.maximum.at(stood_for, others, values)
        order.append(place)
    return np.array(order)


def recall_among(place_map: PlaceMap, kept: np.ndarray) -> float:
    """Share of the places of a map whose most similar one among some rows (K,) is within 10 m.

    A place is not compared with itself. One that no other place is near, kept or not, does not count.
    """
    positions = _positions(place_map)
    queries = np.unique(np.linspace(0, len(place_map) - 1, _QUERIES).round().astype(int))
    near = cKDTree(positions).query_ball_point(positions[queries], POSITIVE_WITHIN, return_length=True)
    queries = queries[near > 1]
    if not len(queries):
        return 1.0
    best, found = np.full(len(queries), -np.inf), np.full(len(queries), -1)
    described = np.asarray(place_map.descriptors[queries], np.float32)
    for start in range(0, len(kept), _BLOCK):
        rows = kept[start : start + _BLOCK]
        products = described @ np.asarray(place_map.descriptors[rows], np.float32).T
        products[queries[:, None] == rows] = -np.inf
        leaders = products.argmax(axis=1)
        values = products[np.arange(len(queries)), leaders]
        is_better = values > best
        best[is_better], found[is_better] = values[is_better], rows[leaders[is_better]]
    away = np.linalg.norm(positions[found] - positions[queries], axis=1)
    return float(((found >= 0) & (away <= POSITIVE_WITHIN)).mean())


def _positions(place_map: PlaceMap) -> np.ndarray:
    """(N, 3) metres; places without poses lie a metre apart, those without a pose in between far away."""
    known = np.isfinite(place_map.poses[:, 0])
    line = np.arange(len(place_map), dtype=np.float64)[:, None] * [1.0, 0, 0]
    if not known.any():
        return line
    apart = line * 10 * POSITIVE_WITHIN + [0, 0, 1e8]
    return np.where(known[:, None], np.nan_to_num(place_map.poses[:, :3]), apart)


def _neighbours(place_map: PlaceMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest places within 10 m of each that look the same way, itself first, how alike and how near.

    (N, K) int64, and float: similarities, and nearness from 1 at the place to 0 at 10 m. What is no neighbour
    is the place itself with a nearness of 0.
    """
    positions, count = _positions(place_map), len(place_map)
    most = min(_NEIGHBOURS, count)
    distances, neighbours = cKDTree(positions).query(positions, most, distance_upper_bound=POSITIVE_WITHIN)
    distances, neighbours = distances.reshape(count, most), neighbours.reshape(count, most)
    here = np.arange(count)[:, None]
    is_near = np.isfinite(distances)
    neighbours = np.where(is_near, neighbours, here)
    quaternions = place_map.poses[:, 3:]
    if np.isfinite(quaternions).all():
        ways = Rotation.from_quat(quaternions).apply([1.0, 0.0, 0.0])
        cosines = np.einsum("nd,nkd->nk", ways, ways[neighbours])
        is_near &= cosines >= np.cos(_TURNED)
    similarities = np.zeros(neighbours.shape, np.float32)
    for start in range(0, count, _BLOCK):
        block = neighbours[start : start + _BLOCK]
        rows, inside = np.unique(block, return_inverse=True)
        descriptors = np.asarray(place_map.descriptors[rows], np.float32)
        own = np.asarray(place_map.descriptors[start : start + _BLOCK], np.float32)
        products = own @ descriptors.T
        similarities[start : start + _BLOCK] = np.take_along_axis(
            products, inside.reshape(block.shape), axis=1
        )
    nearness = np.where(is_near, 1 - np.where(is_near, distances, 0.0) / POSITIVE_WITHIN, 0.0)
    return neighbours, similarities, nearness


def _fewest(place_map: PlaceMap, order: np.ndarray, least_recall: float) -> int:
    """The fewest of the first places that keep a recall; it hardly ever falls when there are more."""
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = recall_among(place_map, order[:middle]) >= least_recall
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def _fitting(place_map: PlaceMap, order: np.ndarray, size: int) -> int:
    """How many of the first places fit into a number of bytes, map.json aside."""
    files = {name: stated["bytes"] for name, stated in place_map.header.files.items()}
    fixed = sum(
        count if name in _FIXED else _ARRAY_HEAD * name.endswith(".npy") for name, count in files.items()
    )
    images = np.zeros(len(order))
    if place_map.images is not None:
        ends = np.cumsum([0, *(len(image) for image in place_map.images)])
        images = np.diff(ends)[order].astype(np.float64)
    others = sum(files.values()) - fixed - files.get(layout.IMAGES_FILE, 0)
    needed = fixed + np.cumsum(images + others / len(order))
    return int(np.searchsorted(needed, size, "right"))
