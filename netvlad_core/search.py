"""Nearest neighbours over descriptors: FAISS where it is installed, else an exact torch product."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from netvlad_core.errors import NetvladError

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
    backend : "faiss", "torch", or "auto": faiss where it is installed.
    device : "cpu", "cuda", or "auto": the GPU where the backend can use one.
    """
    index: DescriptorIndex | None = (
        _faiss_index(descriptors.shape[1], device) if backend in ("auto", "faiss") else None
    )
    if index is None:
        if backend == "faiss":
            raise NetvladError(
                "faiss is not installed; install faiss-cpu or faiss-gpu, or use the backend 'torch'"
            )
        index = TorchIndex(descriptors.shape[1], device)
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
        self._device = (
            "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
        )
        self._blocks: list[torch.Tensor] = []
        self._empty = torch.empty(0, dimension, device=self._device)

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def add(self, descriptors: np.ndarray) -> None:
        self._blocks.append(torch.tensor(descriptors, device=self._device))

    @torch.inference_mode()
    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        q = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self._device)
        products = torch.cat([q @ block.T for block in (self._blocks or [self._empty])], dim=1)
        similarities, rows = products.topk(min(k, products.shape[1]), dim=1)
        return similarities.cpu().numpy(), rows.cpu().numpy()


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
