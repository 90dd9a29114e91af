"""What stored and growing maps share: matches, poses, images."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.data.images import encode_jpeg
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.search import open_index


def _places(has_images: bool = False) -> Places:
    poses = np.array([[1.0, 2, 3, 0, 0, 0, 1], [np.nan] * 7])
    images = [encode_jpeg(np.full((60, 80, 3), shade, np.uint8)) for shade in (10, 200)]
    return Places(np.eye(2, dtype=np.float32), np.array([5, 7]), poses, images=images if has_images else None)


@pytest.mark.parametrize("backend", ["faiss", "torch", "numpy"])
def test_matches_are_the_most_similar_places_in_order(street_map: PlaceMap, backend: str) -> None:
    index = open_index(street_map.descriptors, backend, "cpu")
    descriptors = np.asarray(street_map.descriptors, np.float32)
    query = descriptors[7]
    similarities, places = index.search(query[None], 5)
    matches = street_map.matches(places[0], similarities[0])
    products = descriptors @ query
    assert [match.place for match in matches] == np.argsort(-products)[:5].tolist()
    np.testing.assert_allclose(
        [match.similarity for match in matches], np.sort(products)[::-1][:5], atol=1e-5
    )
    assert matches[0].stamp == street_map.stamps[7]
    assert matches[0].pose is not None
    np.testing.assert_array_equal(matches[0].pose.position, street_map.poses[7, :3])


def test_similarity_that_rounding_puts_beyond_one_is_one() -> None:
    matches = _places().matches([0, 1], np.array([1.000003, -1.000003]))
    assert [match.similarity for match in matches] == [1.0, -1.0]


def test_place_without_a_pose_matches_without_one() -> None:
    places = _places()
    posed, unposed = places.matches([0, 1], np.array([0.9, 0.8]))
    assert not places.has_poses
    assert (posed.stamp, unposed.stamp, unposed.pose) == (5, 7, None)
    assert posed.pose is not None
    assert posed.pose.position.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        places.matches([0, 1], np.array([0.9]))


def test_pose_stays_what_it_was_when_the_rows_move() -> None:
    places = _places()
    pose = places.pose(0)
    places.poses[0] = 99.0
    assert pose is not None
    assert pose.position.tolist() == [1.0, 2.0, 3.0]


def test_image_is_decoded_if_it_was_kept() -> None:
    image = _places(has_images=True).image(1)
    assert image is not None
    assert abs(int(image[30, 40, 0]) - 200) <= 2
    assert _places().image(1) is None
