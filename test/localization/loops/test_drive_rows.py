"""Rows in float16: products as those of NumPy's own conversion, growth, thinning, snapshots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.localization.loops.drive_rows import DriveRows, half_products
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue


@pytest.mark.parametrize("shape", [(0, 8), (1, 1), (3, 700), (1000, 512), (40, 70_000)])
def test_products_are_those_of_the_rows_in_float32(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(scale=shape[1] ** -0.5, size=shape).astype(np.float16)
    query = random.normal(scale=shape[1] ** -0.5, size=shape[1]).astype(np.float32)
    np.testing.assert_allclose(half_products(rows, query), rows.astype(np.float32) @ query, atol=2e-6)


def test_every_float16_is_decoded_as_numpy_does() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    decoded = half_products(finite[:, None], np.ones(1, np.float32))
    is_normal = np.abs(finite) >= np.finfo(np.float16).smallest_normal
    np.testing.assert_array_equal(decoded[is_normal], finite[is_normal].astype(np.float32))
    # A processor that flushes denormal numbers to zero does so here, too.
    np.testing.assert_allclose(
        decoded, finite.astype(np.float32), atol=float(np.finfo(np.float16).smallest_normal)
    )


def test_rows_grow_and_every_second_one_goes() -> None:
    rows = DriveRows(most=600)
    for number in range(600):
        rows.append(np.array([1.0, number], np.float32))
    assert rows.shape == (600, 2)
    before = rows.snapshot()
    rows.thin_out()
    assert rows[:][:, 1].tolist() == list(range(0, 600, 2))
    assert rows.similarities(np.array([0.0, 1.0], np.float32)).tolist() == list(range(0, 600, 2))
    rows.append(np.array([1.0, 1000.0], np.float32))
    assert rows[-1].tolist() == [1.0, 1000.0]
    assert before[np.array([1, 599])][:, 1].tolist() == [1, 599]


@pytest.fixture(scope="module")
def reduced_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    folder = tmp_path_factory.mktemp("reduced")
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=40), range(0, 40, 4))
    options = BuildOptions(weights=checkpoint, device="cpu", dimension=4, store_features="none")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def test_rows_of_a_reduced_map_are_compared_as_it_stores_them(reduced_map: PlaceMap) -> None:
    rows = DriveRows(most=8, earlier=reduced_map)
    descriptor = reduced_map.whole_descriptors()[3]
    rows.append(descriptor)
    assert rows.shape == (11, reduced_map.header.dimension)
    whole = np.concatenate([reduced_map.whole_descriptors(), descriptor[None]])
    np.testing.assert_allclose(rows[:], whole, atol=1e-3)
    np.testing.assert_allclose(rows[np.array([10, 2])], whole[[10, 2]], atol=1e-3)
    np.testing.assert_allclose(rows.similarities(descriptor), whole @ descriptor, atol=2e-3)
    held = sum(part.nbytes for part in vars(rows).values() if isinstance(part, np.ndarray))
    assert held <= 2 * (10 * 4 + 8 * reduced_map.header.dimension)
