"""Every backend of the search against the plain product."""

from pathlib import Path

import numpy as np
import pytest

from netvlad_core import search
from netvlad_core.search import open_index, store_index


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


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Six thousand rows around sixty, and a limit that makes them many."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "EXACT_UP_TO", 1000)
    generator = np.random.default_rng(0)
    rows = np.repeat(generator.standard_normal((60, 32)), 100, axis=0) + 0.5 * generator.standard_normal(
        (6000, 32)
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_very_many_rows_are_found_by_cells_and_ranked_exactly(many: np.ndarray) -> None:
    index = open_index(many[:5000], device="cpu")
    index.add(many[5000:])
    queries = many[[3, 4999, 5000, 5999]] + 0.01
    similarities, rows = index.search(queries, 20)
    expected = queries @ many.T
    assert rows[:, 0].tolist() == np.argmax(expected, axis=1).tolist() == [3, 4999, 5000, 5999]
    np.testing.assert_allclose(similarities, np.take_along_axis(expected, rows, axis=1), atol=1e-5)
    assert (np.diff(similarities, axis=1) <= 0).all()
    exact = np.argsort(-expected, axis=1)[:, :20]
    assert np.mean([len(set(a) & set(b)) / 20 for a, b in zip(rows, exact)]) > 0.9


def test_stored_cells_give_the_same_and_damaged_ones_are_made_anew(
    many: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "index.faiss"
    assert store_index(many, path)
    fresh = open_index(many, device="cpu").search(many[:9], 5)
    for damage in (b"", path.read_bytes()[:5000], b"no index"):
        np.testing.assert_array_equal(
            open_index(many, device="cpu", stored=path).search(many[:9], 5)[1], fresh[1]
        )
        path.write_bytes(damage)
    assert "is no index of these places" in caplog.text
    assert "have no stored index" in caplog.text
    store_index(many[:2000], path)
    assert len(open_index(many, device="cpu", stored=path)) == len(many)


def test_few_rows_need_no_stored_index(many: np.ndarray, tmp_path: Path) -> None:
    assert not store_index(many[:1000], tmp_path / "index.faiss")
    assert not (tmp_path / "index.faiss").exists()
