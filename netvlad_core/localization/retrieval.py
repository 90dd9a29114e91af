"""The places of the map that look most like a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.search import DescriptorIndex


@dataclass(frozen=True)
class Match:
    """A place that resembles the query.

    Attributes
    ----------
    place : row in the map.
    stamp : of the place's image, nanoseconds.
    similarity : inner product of the descriptors, in [-1, 1].
    pose : map <- base_link of the place, or None where the map has no poses.
    inliers : local features that agree with one geometry of query and place; 0 where nobody looked.
    """

    place: int
    stamp: int
    similarity: float
    pose: Pose | None
    inliers: int = 0

    @property
    def score(self) -> float:
        """Similarity, times the root of the inliers where there are any.

        Retrieval sees what geometry does not and the other way round; the product is better than either. A
        count is uncertain by its root, so differences of roots mean the same among few inliers as among many.
        """
        return self.similarity * float(np.sqrt(max(1, self.inliers)))


def retrieve(place_map: PlaceMap, index: DescriptorIndex, descriptor: np.ndarray, top_k: int) -> list[Match]:
    """The most similar places, best first, for a descriptor (D,) float32."""
    similarities, places = index.search(descriptor[None], top_k)
    return matches_of(place_map, places[0], similarities[0])


def matches_of(place_map: PlaceMap, places: np.ndarray, similarities: np.ndarray) -> list[Match]:
    """Matches of places (K,) int with their similarities, which may be more."""
    return [
        Match(int(place), int(place_map.stamps[place]), float(similarity), place_map.pose(int(place)))
        for place, similarity in zip(places, similarities, strict=False)
    ]
