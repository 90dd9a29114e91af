"""Recall and time of a network in several precisions: one drive, searched in one map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.evaluation.drive import positions_of
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
    queries : number of images, the denominator of the recall.
    recall : {n: share of all queries in [0, 1]}, searched in the map's descriptors as they are.
    similarity : mean similarity to the descriptor of the first extractor.
    seconds : median time for one image alone, from pixels to descriptor.
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
    extractors : the map's model in several precisions; the first is what the others are compared with.
    left_out : gets reasons and counts of the frames that are no queries.
    threshold : metres within which a place is correct.

    Raises
    ------
    MapError
        If an extractor has another model than the map.
    SourceError
        If the map or all frames are without poses.
    """
    for extractor in extractors.values():
        place_map.check_model(extractor)
    places, index = positions_of(place_map), open_index(place_map.descriptors)
    truth: list[np.ndarray] = []
    measured: dict[str, list[tuple[np.ndarray, float, float]]] = {name: [] for name in extractors}
    for frame in frames:
        if frame.pose is None:
            left_out["without a true pose"] += 1
            continue
        described = {}
        try:
            image = frame.decode()
            for name, extractor in extractors.items():
                start = perf_counter()
                descriptor = extractor(image)
                described[name] = descriptor, perf_counter() - start
        except ImageError as error:
            left_out[str(error)] += 1
            continue
        reference = next(iter(described.values()))[0][0]
        for name, (descriptor, seconds) in described.items():
            rows = index.search(place_map.reduced(descriptor), max(_RECALL_AT))[1][0]
            measured[name].append((rows, float(descriptor[0] @ reference), seconds))
        truth.append(frame.pose.position)
    if not truth:
        raise SourceError("no query has a true pose and an image that can be read")
    results = {}
    for name, figures in measured.items():
        ranked, similarities, times = (np.array(column) for column in zip(*figures, strict=True))
        recall = recall_by_position(ranked, places, np.array(truth), threshold).at(_RECALL_AT)
        results[name] = PrecisionResult(
            len(truth), recall, float(similarities.mean()), float(np.median(times))
        )
    return results
