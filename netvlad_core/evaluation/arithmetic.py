"""What a network's precision costs and gains: one drive described in several precisions, against one map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.evaluation.recall import recall_by_position
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index

_RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class PrecisionResult:
    """Figures of one precision.

    Attributes
    ----------
    queries : images; the denominator of the recall.
    recall : {n: share of all queries in [0, 1]}, searched in the map's descriptors as they are.
    similarity : to the descriptor of the first extractor, mean over the queries.
    seconds : for one image alone, from pixels to descriptor, median.
    """

    queries: int
    recall: dict[int, float]
    similarity: float
    seconds: float


def compare_precisions(
    place_map: PlaceMap,
    frames: Iterable[Frame],
    extractors: Mapping[str, Extractor],
    left_out: Counter[str],
    threshold: float = CORRECT_WITHIN,
) -> dict[str, PrecisionResult]:
    """Describe each query with every extractor; they take turns, so other work slows all of them alike.

    Parameters
    ----------
    extractors : of the map's model, in several precisions; the first is what the others are compared with.
    left_out : reason and count of the frames that are no queries.
    threshold : metres, within which a place is correct.

    Raises
    ------
    MapError
        If an extractor has another model than the map.
    SourceError
        If the map or all frames are without poses.
    """
    for extractor in extractors.values():
        place_map.check_model(extractor.model_id)
    if not place_map.has_poses:
        raise SourceError(f"the map {place_map.path} has no poses, so nothing can be evaluated against it")
    index = open_index(place_map.descriptors)
    positions: list[np.ndarray] = []
    rows: dict[str, list[np.ndarray]] = {name: [] for name in extractors}
    seconds: dict[str, list[float]] = {name: [] for name in extractors}
    similarities: dict[str, list[float]] = {name: [] for name in extractors}
    for frame in frames:
        if frame.pose is None:
            left_out["without a true pose"] += 1
            continue
        try:
            image = frame.decode()
            descriptors = {}
            for name, extractor in extractors.items():
                start = perf_counter()
                descriptors[name] = extractor(image)
                seconds[name].append(perf_counter() - start)
        except ImageError as error:
            left_out[str(error)] += 1
            continue
        reference = next(iter(descriptors.values()))[0]
        for name, descriptor in descriptors.items():
            rows[name].append(index.search(descriptor, max(_RECALL_AT))[1][0])
            similarities[name].append(float(descriptor[0] @ reference))
        positions.append(frame.pose.position)
    if not positions:
        raise SourceError("no query has a true pose and an image that can be read")
    places, truth = np.asarray(place_map.poses[:, :3]), np.array(positions)
    return {
        name: PrecisionResult(
            len(positions),
            recall_by_position(np.array(rows[name]), places, truth, threshold).at(_RECALL_AT),
            float(np.mean(similarities[name])),
            float(np.median(seconds[name])),
        )
        for name in extractors
    }
