"""Nearest neighbours over descriptors: FAISS if it is installed, else an exact product."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from netvlad_core.errors import NetvladError

# Rows handed over at a time, so that a memory-mapped database is not copied whole.
_CHUNK = 16384


class DescriptorIndex:
    """Exact search for the largest inner products, by the plain product; rows keep the order they came in."""

    def __init__(self, dimension: int) -> None:
        self._blocks: list[Any] = [np.empty((0, dimension), np.float32)]

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def add(self, descriptors: np.ndarray) -> None:
        """Append rows (N, D) float32."""
        self._blocks.append(np.array(descriptors, dtype=np.float32))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Best rows for queries (Q, D) float32; at most len(self) come back.

        Returns similarities (Q, k) float32, descending, and rows (Q, k) int64.
        """
        k = min(k, len(self))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        return self._best(np.ascontiguousarray(queries, dtype=np.float32), k)

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        products = self._products(queries)
        rows = np.argpartition(-products, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(products, rows, axis=1), axis=1, kind="stable")
        rows = np.take_along_axis(rows, order, axis=1)
        return np.take_along_axis(products, rows, axis=1), rows

    def _products(self, queries: np.ndarray) -> np.ndarray:
        return np.concatenate([queries @ block.T for block in self._blocks], axis=1)


class _TorchIndex(DescriptorIndex):
    """The same product on a GPU, if there is one."""

    def __init__(self, dimension: int, device: str) -> None:
        import torch

        self._torch = torch
        self._device = device.replace("auto", "cuda" if torch.cuda.is_available() else "cpu")
        self._blocks = [torch.empty(0, dimension, device=self._device)]

    def add(self, descriptors: np.ndarray) -> None:
        self._blocks.append(self._torch.tensor(descriptors, device=self._device))

    def _products(self, queries: np.ndarray) -> np.ndarray:
        q = self._torch.from_numpy(queries).to(self._device)
        return self._torch.cat([q @ block.T for block in self._blocks], dim=1).cpu().numpy()


class _FaissIndex(DescriptorIndex):
    """Flat inner-product index of FAISS, on the CPU or a GPU."""

    def __init__(self, dimension: int, device: str) -> None:
        import faiss

        self._index: Any = faiss.IndexFlatIP(dimension)
        if device != "cpu" and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
            gpu = int(device.partition(":")[2] or 0)
            self._index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu, self._index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, descriptors: np.ndarray) -> None:
        self._index.add(descriptors)

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._index.search(queries, k)


def open_index(descriptors: np.ndarray, backend: str = "auto", device: str = "auto") -> DescriptorIndex:
    """Index a database; raises NetvladError if the backend is "faiss" and it is not installed.

    Parameters
    ----------
    descriptors : (N, D) float32; may be memory-mapped.
    backend : "faiss", "torch", "numpy", or "auto": the first of these that is installed.
    device : "cpu", "cuda", or "auto": the GPU if the backend can use one.
    """
    index: DescriptorIndex | None = None
    dimension = descriptors.shape[1]
    if backend in ("auto", "faiss"):
        try:
            index = _FaissIndex(dimension, device)
        except ImportError as error:
            if backend == "faiss":
                raise NetvladError(
                    "faiss is not installed; install faiss-cpu or faiss-gpu, or use the backend 'torch' or "
                    "'numpy'"
                ) from error
    if index is None:
        has_torch = backend == "torch" or (backend == "auto" and find_spec("torch") is not None)
        index = _TorchIndex(dimension, device) if has_torch else DescriptorIndex(dimension)
    for start in range(0, len(descriptors), _CHUNK):
        index.add(np.ascontiguousarray(descriptors[start : start + _CHUNK], dtype=np.float32))
    return index


def ranks_of_first_correct(ranked: Sequence[np.ndarray], correct: Sequence[np.ndarray]) -> np.ndarray:
    """Rank of each query's first correct row: (Q,) float, from 0; inf if none is among the ranked ones.

    The share of ranks below n is Recall@n.

    Parameters
    ----------
    ranked : for each query, rows, best first.
    correct : for each query, the correct rows.
    """
    ranks = np.full(len(ranked), np.inf)
    for query, (rows, right) in enumerate(zip(ranked, correct, strict=True)):
        found = np.flatnonzero(np.isin(rows, right))
        if len(found):
            ranks[query] = found[0]
    return ranks
