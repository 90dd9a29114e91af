"""The places that look most like a query."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.localization.retrieval import retrieve
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.search import open_index


@pytest.mark.parametrize("backend", ["faiss", "torch", "numpy"])
def test_matches_are_the_most_similar_places_in_order(street_map: PlaceMap, backend: str) -> None:
    index = open_index(street_map.descriptors, backend, "cpu")
    query = np.array(street_map.descriptors[7])
    matches = retrieve(street_map, index, query, top_k=5)
    products = street_map.descriptors @ query
    assert [match.place for match in matches] == np.argsort(-products)[:5].tolist()
    np.testing.assert_allclose(
        [match.similarity for match in matches], np.sort(products)[::-1][:5], atol=1e-5
    )
    assert matches[0].stamp == street_map.stamps[7]
    assert matches[0].pose is not None
    np.testing.assert_array_equal(matches[0].pose.position, street_map.poses[7, :3])
