"""Rain on a rendered image."""

from __future__ import annotations

import numpy as np

from town.rain import rainy


def test_rain_is_the_same_for_the_same_seed_and_takes_contrast() -> None:
    dry = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    wet = rainy(dry, seed=1)
    assert wet.shape == dry.shape
    assert wet.dtype == np.uint8
    np.testing.assert_array_equal(wet, rainy(dry, seed=1))
    assert (wet != rainy(dry, seed=2)).any()
    assert wet[:30].std() < 0.8 * dry[:30].std()


def test_wet_street_mirrors_what_stands_above_it() -> None:
    dry = np.full((240, 320, 3), 40, np.uint8)
    dry[:20] = 250  # a bright sky
    wet = rainy(dry, seed=0)
    assert np.median(wet[-10:]) > np.median(wet[130:150]) + 20
