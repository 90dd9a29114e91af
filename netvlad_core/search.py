"""Nearest neighbours over descriptors: FAISS if it is installed, else an exact product."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from netvlad_core.errors import NetvladError

if TYPE_CHECKING:
    import torch

# Rows handed over at a time, so that a memory-mapped database is not copied whole.
_CHUNK = 16384


class DescriptorIndex(Protocol):
    """Exact search for the largest inner products; rows keep the order in which they were added."""

    def __len__(self) -> int: ...

    def add(self, descriptors: np.ndarray) -> None:
        """Append rows (N, D) float32."""
        ...

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Best rows for each query.

        Parameters
        ----------
        queries : (Q, D) float32.
        k : rows wanted; at most len(self) come back.

        Returns
        -------
        similarities (Q, k) float32, descending, and rows (Q, k) int64.
        """
        ...


def open_index(descriptors: np.ndarray, backend: str = "auto", device: str = "auto") -> DescriptorIndex:
    """Index a database.

    Parameters
    ----------
    descriptors : (N, D) float32; may be memory-mapped.
    backend : "faiss", "torch", "numpy", or "auto": the first of these that is installed.
    device : "cpu", "cuda", or "auto": the GPU if the backend can use one.
    """
    index = _empty_index(descriptors.shape[1], backend, device)
    for start in range(0, len(descriptors), _CHUNK):
        index.add(np.ascontiguousarray(descriptors[start : start + _CHUNK], dtype=np.float32))
    return index


class FaissIndex:
    """Flat inner-product index of FAISS, on the CPU or a GPU."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, descriptors: np.ndarray) -> None:
        self._index.add(descriptors)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        k = min(k, len(self))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        return self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)


class TorchIndex:
    """The plain matrix product, for machines without faiss."""

    def __init__(self, dimension: int, device: str = "auto") -> None:
        import torch

        self._torch = torch
        self._device = (
            "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
        )
        self._blocks: list[torch.Tensor] = []
        self._empty = torch.empty(0, dimension, device=self._device)

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def add(self, descriptors: np.ndarray) -> None:
        self._blocks.append(self._torch.tensor(descriptors, device=self._device))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        with self._torch.inference_mode():
            q = self._torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self._device)
            products = self._torch.cat([q @ block.T for block in (self._blocks or [self._empty])], dim=1)
            similarities, rows = products.topk(min(k, products.shape[1]), dim=1)
        return similarities.cpu().numpy(), rows.cpu().numpy()


class NumpyIndex:
    """The same product on machines without torch."""

    def __init__(self, dimension: int) -> None:
        self._blocks = [np.empty((0, dimension), np.float32)]

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def add(self, descriptors: np.ndarray) -> None:
        self._blocks.append(np.array(descriptors, dtype=np.float32))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        q = np.asarray(queries, dtype=np.float32)
        products = np.concatenate([q @ block.T for block in self._blocks], axis=1)
        k = min(k, products.shape[1])
        rows = np.argpartition(-products, k - 1, axis=1)[:, :k] if k else np.empty((len(q), 0), np.int64)
        order = np.argsort(-np.take_along_axis(products, rows, axis=1), axis=1, kind="stable")
        rows = np.take_along_axis(rows, order, axis=1)
        return np.take_along_axis(products, rows, axis=1), rows


def _empty_index(dimension: int, backend: str, device: str) -> DescriptorIndex:
    index = _faiss_index(dimension, device) if backend in ("auto", "faiss") else None
    if index is not None:
        return index
    if backend == "faiss":
        raise NetvladError(
            "faiss is not installed; install faiss-cpu or faiss-gpu, or use the backend 'torch' or 'numpy'"
        )
    has_torch = find_spec("torch") is not None
    return (
        TorchIndex(dimension, device)
        if backend == "torch" or (backend == "auto" and has_torch)
        else NumpyIndex(dimension)
    )


def _faiss_index(dimension: int, device: str) -> FaissIndex | None:
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatIP(dimension)
    has_gpu = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    if device == "cpu" or not has_gpu:
        return FaissIndex(index)
    gpu = int(device.partition(":")[2] or 0)
    return FaissIndex(faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu, index))


def ranks_of_first_correct(ranked: Sequence[np.ndarray], correct: Sequence[np.ndarray]) -> np.ndarray:
    """Rank of each query's first correct row.

    Parameters
    ----------
    ranked : for each query, rows, best first.
    correct : for each query, the correct rows.

    Returns
    -------
    (Q,) float, from 0; inf if none is among the ranked ones. The share of ranks below n is Recall@n.
    """
    ranks = np.full(len(ranked), np.inf)
    for query, (rows, right) in enumerate(zip(ranked, correct, strict=True)):
        found = np.flatnonzero(np.isin(rows, right))
        if len(found):
            ranks[query] = found[0]
    return ranks
