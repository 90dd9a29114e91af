"""RootSIFT: the strongest features of an image, small images included."""

from __future__ import annotations

import numpy as np

from netvlad_core.geometry.features import rootsift
from support.street import street, view


def test_strongest_come_first_and_fewer_are_a_part_of_more() -> None:
    grey = view(street(seed=5, metres=20), 4.0)[..., 0]
    many, few = rootsift.find(grey, 200), rootsift.find(grey, 50)
    assert len(few[0]) == 50
    np.testing.assert_allclose(few[0][:20], many[0][:20], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(many[1], axis=1), 1, atol=1e-4)


def test_blank_image_has_none() -> None:
    points, descriptors = rootsift.find(np.full((60, 80), 90, np.uint8), 100)
    assert (points.shape, descriptors.shape) == ((0, 2), (0, 128))
