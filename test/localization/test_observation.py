"""What the core sees in one image, made once and in the order of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError
from netvlad_core.localization.observation import Observer
from netvlad_core.model.extractor import Extractor
from support.scene import CAMERA
from support.street import street, view


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return view(street(seed=1, metres=20), 5.0)


def test_observation_holds_what_the_robot_knew_and_the_network_saw(
    extractor: Extractor, image: np.ndarray
) -> None:
    pose = Pose.from_xyz_yaw(1.0, 2.0)
    seen = Observer(extractor, features=200)(image, 7, pose, CAMERA)
    assert (seen.stamp, seen.odometry, seen.camera) == (7, pose, CAMERA)
    np.testing.assert_array_equal(seen.descriptor, extractor(image)[0])
    assert seen.features is not None
    assert 20 < len(seen.features) <= 200
    assert seen.features.size == (image.shape[1], image.shape[0])


def test_without_being_asked_no_features_are_looked_for(extractor: Extractor, image: np.ndarray) -> None:
    assert Observer(extractor)(image).features is None


def test_stages_are_timed_and_a_known_descriptor_is_not_computed_again(
    extractor: Extractor, image: np.ndarray
) -> None:
    stages: list[str] = []

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        stages.append(stage)
        yield

    observe = Observer(extractor, features=200)
    observe(image, timed=timed)
    known = np.ones(extractor.dimension, np.float32)
    assert observe(image, descriptor=known, timed=timed).descriptor is known
    assert stages == ["network", "local features", "local features"]


@pytest.mark.parametrize("wrong", [np.zeros((0, 0, 3), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_what_is_no_image_is_refused(extractor: Extractor, wrong: np.ndarray) -> None:
    with pytest.raises(ImageError):
        Observer(extractor, features=200)(wrong)
