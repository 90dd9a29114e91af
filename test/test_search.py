"""Every backend of the search against the plain product."""

import numpy as np
import pytest

from netvlad_core.search import open_index


@pytest.fixture
def descriptors() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((300, 24)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("backend", ["auto", "faiss", "torch"])
def test_backends_agree_with_the_plain_product(descriptors: np.ndarray, backend: str) -> None:
    if backend == "faiss":
        pytest.importorskip("faiss")
    queries = descriptors[:7] + 0.1
    index = open_index(descriptors[:200], backend, "cpu")
    index.add(descriptors[200:])
    similarities, rows = index.search(queries, 5)
    expected = queries @ descriptors.T
    np.testing.assert_array_equal(rows, np.argsort(-expected, axis=1)[:, :5])
    np.testing.assert_allclose(similarities, -np.sort(-expected, axis=1)[:, :5], atol=1e-5)
    assert index.search(queries, 1000)[1].shape == (7, 300)
