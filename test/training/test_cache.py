"""The file of descriptors that tuples are mined from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.training.cache import DescriptorCache


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 0.0), ("float16", 1e-3)])
def test_cache_keeps_rows_in_a_file(tmp_path: Path, kind: str, tolerance: float) -> None:
    descriptors = np.random.default_rng(1).normal(0, 0.25, (100, 16)).astype(np.float32)
    cache = DescriptorCache(tmp_path / "descriptors", descriptors.shape, kind)
    cache.prepare()
    rows = np.random.default_rng(2).permutation(len(descriptors))
    cache.write(rows[:70], descriptors[rows[:70]])
    cache.write(rows[70:], descriptors[rows[70:]])
    again = DescriptorCache(tmp_path / "descriptors", descriptors.shape, kind)
    again.prepare()
    np.testing.assert_allclose(again.open(), descriptors, atol=tolerance)
    assert cache.path.stat().st_size == descriptors.size * np.dtype(kind).itemsize
    DescriptorCache(cache.path, (5, 16), kind).prepare()
    assert cache.path.stat().st_size == 5 * 16 * np.dtype(kind).itemsize, "another size is begun anew"
