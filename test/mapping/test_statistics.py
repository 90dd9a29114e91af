"""What a map says about itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.rows import StoredRows
from netvlad_core.mapping.statistics import median_spacing, similarity_elsewhere


def _stored(folder: Path, descriptors: np.ndarray) -> StoredRows:
    np.save(folder / "d.npy", descriptors.astype(np.float32))
    return StoredRows.of_npy(folder / "d.npy")


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1])
def test_maps_without_a_pair_have_no_spacing_and_no_threshold(count: int, tmp_path: Path) -> None:
    positions = np.zeros((count, 3))
    assert median_spacing(positions) == 0.0
    assert similarity_elsewhere(_stored(tmp_path, np.ones((count, 4))), positions) == 0.0


def test_spacing_is_the_median_and_ignores_places_without_pose() -> None:
    positions = np.zeros((6, 3))
    positions[:, 0] = [0, 1, 2, 3, 100, np.nan]
    assert median_spacing(positions) == 1.0


def test_only_places_beyond_25_metres_are_elsewhere(tmp_path: Path) -> None:
    descriptors = _unit(np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 1], [0.5, 1, 1]], np.float32))
    near, far = np.zeros((4, 3)), np.zeros((4, 3))
    near[:, 0] = [0, 24.9, 24.9, 24.9]
    assert similarity_elsewhere(_stored(tmp_path, descriptors), near) == 0.0
    far[:, 0] = [0, 10, 200, 210]
    products = descriptors @ descriptors.T
    best = [products[:2, 2:].max(axis=1), products[2:, :2].max(axis=1)]
    found = similarity_elsewhere(_stored(tmp_path, descriptors), far)
    assert found == pytest.approx(np.median(np.concatenate(best)), abs=1e-6)


def test_blocks_change_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    count = 5000  # more than one block
    descriptors = _unit(random.normal(size=(count, 16)))
    positions = random.uniform(0, 300, (count, 3))
    sampled = np.unique(np.linspace(0, count - 1, 500).round().astype(int))
    products = descriptors[sampled] @ descriptors.T
    far = np.linalg.norm(positions[sampled, None] - positions[None], axis=2) > 25
    expected = np.median(np.where(far, products, -1).max(axis=1))
    assert similarity_elsewhere(_stored(tmp_path, descriptors), positions) == pytest.approx(
        expected, abs=1e-5
    )
