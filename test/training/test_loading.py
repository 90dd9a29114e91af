"""Random changes of images."""

from __future__ import annotations

import numpy as np

from netvlad_core.training.loading import augment
from support.images import known_picture


def test_augmentation_is_that_of_its_seed() -> None:
    picture = known_picture()
    same = augment(picture, 0, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(same, picture)
    first, again, other = (augment(picture, 0.7, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8
    assert first.shape == picture.shape
    assert np.abs(first.astype(int) - picture).mean() > 5
    assert np.abs(first.astype(int) - other).mean() > 5


def test_corners_move_by_their_share_at_most() -> None:
    """A white frame of a fifth of the picture moves by a tenth: its inside stays black."""
    picture = np.full((100, 200, 3), 255, np.uint8)
    picture[20:80, 40:160] = 0
    for seed in range(5):
        moved = augment(picture, 0, 0.1, np.random.default_rng(seed))
        assert not moved[35:65, 70:130].any()
        assert (moved[:3, :3] == 255).all()
        assert (moved != picture).any()
