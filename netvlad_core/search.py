"""Nearest neighbours over descriptors: exact, and of very many by a short list that is ranked exactly."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from netvlad_core.errors import NetvladError

_log = logging.getLogger(__name__)

# Rows handed over at a time, so that a database on disk is not copied whole.
_CHUNK = 16384
# Beyond this FAISS on a CPU looks into some cells only. Exact, a query of 512 numbers takes 3 ms there, and
# the rows in float32 100 MB; the codes of twice as many places take 9 MB.
EXACT_UP_TO = 50_000
_TRAINED_PER_CELL = 64
_SHORT_LIST = 500  # rows that the database ranks, at least


class Rows(Protocol):
    """Descriptors (N, D): an array, or a file whose rows are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


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

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        q = self._torch.from_numpy(queries).to(self._device)
        products = self._torch.cat([q @ block.T for block in self._blocks], dim=1)
        similarities, rows = products.topk(k)
        return similarities.cpu().numpy(), rows.cpu().numpy()


class _FaissIndex(DescriptorIndex):
    """Flat inner-product index of FAISS, on the CPU or a GPU."""

    def __init__(self, dimension: int, device: str) -> None:
        import faiss

        self._faiss = faiss
        self._index: Any = faiss.IndexFlatIP(dimension)
        self.is_on_gpu = False
        gpu = int(device.partition(":")[2] or 0)
        if device != "cpu" and _faiss_runs_on(gpu):
            self._index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu, self._index)
            self.is_on_gpu = True

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, descriptors: np.ndarray) -> None:
        self._index.add(descriptors)

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        # FAISS takes one core for one query, and keeps its best k as it goes: the product is 3 times as fast.
        if len(queries) == 1 and not self.is_on_gpu:
            return super()._best(queries, k)
        return self._index.search(queries, k)

    def _products(self, queries: np.ndarray) -> np.ndarray:
        rows = self._faiss.rev_swig_ptr(self._index.get_xb(), len(self) * self._index.d)
        return queries @ rows.reshape(len(self), -1).T


class _CellIndex(DescriptorIndex):
    """Cells of 4-bit codes in memory give a short list of rows; the database itself ranks them."""

    def __init__(self, database: Rows, index: Any) -> None:
        import faiss

        self._database, self._added = database, DescriptorIndex(database.shape[1])
        self.index = index
        self._cells = faiss.extract_index_ivf(index)
        self._cells.nprobe = max(16, self._cells.nlist // 16)

    @classmethod
    def of(cls, database: Rows) -> _CellIndex:
        """Train on an even sample and index all rows (N, D)."""
        import faiss

        count, dimension = database.shape
        cells = 1 << round(float(np.log2(4 * np.sqrt(count))))
        codes = next(codes for codes in range(max(1, dimension // 4), 0, -1) if dimension % codes == 0)
        index = faiss.index_factory(dimension, f"IVF{cells},PQ{codes}x4fs", faiss.METRIC_INNER_PRODUCT)
        training = faiss.extract_index_ivf(index).cp
        training.max_points_per_centroid, training.min_points_per_centroid = _TRAINED_PER_CELL, 1
        rows = np.unique(np.linspace(0, count - 1, min(count, _TRAINED_PER_CELL * cells)).astype(int))
        index.train(np.asarray(database[rows], np.float32))
        for start in range(0, count, _CHUNK):
            index.add(np.asarray(database[start : start + _CHUNK], np.float32))
        return cls(database, index)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def add(self, descriptors: np.ndarray) -> None:
        self._added.add(descriptors)
        self.index.add(np.ascontiguousarray(descriptors, np.float32))

    def _best(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        similarities = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        short_lists = self.index.search(queries, max(2 * k, _SHORT_LIST))[1]
        for number, (query, listed) in enumerate(zip(queries, short_lists, strict=True)):
            listed = np.sort(listed[listed >= 0])
            products = self._rows(listed) @ query
            best = np.argsort(-products, kind="stable")[:k]
            similarities[number, : len(best)], rows[number, : len(best)] = products[best], listed[best]
        found = int((rows >= 0).sum(axis=1).min())
        return similarities[:, :found], rows[:, :found]

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the database (R, D) float32, in ascending order; what was added comes last."""
        old = np.searchsorted(rows, len(self._database))
        parts = [np.asarray(self._database[rows[:old]], np.float32)]
        if old < len(rows):
            parts.append(np.concatenate(self._added._blocks)[rows[old:] - len(self._database)])
        return np.concatenate(parts)


def open_index(
    descriptors: Rows, backend: str = "auto", device: str = "auto", stored: Path | None = None
) -> DescriptorIndex:
    """Index a database.

    Of more than EXACT_UP_TO rows FAISS on a CPU looks into some cells only; the similarities that it returns
    are exact all the same.

    Parameters
    ----------
    descriptors : (N, D) float, in memory or on disk.
    backend : "faiss", "torch", "numpy", or "auto": the first of these that is installed, and on a GPU the
        first that runs there.
    device : "cpu", "cuda", or "auto": the GPU if the backend can use one.
    stored : file of `store_index` over the same rows.

    Raises
    ------
    NetvladError
        If the backend is "faiss" and it is not installed.
    """
    dimension = descriptors.shape[1]
    chosen = _fastest(device) if backend == "auto" else backend
    if len(descriptors) > EXACT_UP_TO and chosen == "faiss" and _faiss_on_cpu(device):
        if cells := _stored_cells(descriptors, stored):
            return cells
        _log.warning("%d places have no stored index, and making one takes minutes", len(descriptors))
        return _CellIndex.of(descriptors)
    index: DescriptorIndex
    if chosen == "faiss":
        try:
            index = _FaissIndex(dimension, device)
        except ImportError as error:
            raise NetvladError(
                "faiss is not installed; install faiss-cpu or faiss-gpu, or use the backend 'torch' or "
                "'numpy'"
            ) from error
    else:
        index = _TorchIndex(dimension, device) if chosen == "torch" else DescriptorIndex(dimension)
    for start in range(0, len(descriptors), _CHUNK):
        index.add(np.ascontiguousarray(descriptors[start : start + _CHUNK], dtype=np.float32))
    return index


def _fastest(device: str) -> str:
    has_faiss, has_torch = (find_spec(name) is not None for name in ("faiss", "torch"))
    # A torch that runs no network here is not worth the seconds of its import.
    if device != "cpu" and "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return "faiss" if has_faiss and not _faiss_on_cpu(device) else "torch"
    return "faiss" if has_faiss else "torch" if has_torch else "numpy"


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


def store_index(descriptors: Rows, path: Path) -> bool:
    """Write the index of a database that is too large for an exact search; returns whether there is one."""
    if len(descriptors) <= EXACT_UP_TO or not _faiss_on_cpu("cpu"):
        return False
    import faiss

    faiss.write_index(_CellIndex.of(descriptors).index, str(path))
    return True


def _stored_cells(descriptors: Rows, path: Path | None) -> _CellIndex | None:
    if path is None:
        return None
    import faiss

    try:
        index = faiss.read_index(str(path))
        if (index.ntotal, index.d) == descriptors.shape:
            return _CellIndex(descriptors, index)
        reason = f"it has {index.ntotal} rows of {index.d} numbers"
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
    _log.warning("%s is no index of these places: %s", path, reason)
    return None


def _faiss_on_cpu(device: str) -> bool:
    if find_spec("faiss") is None:
        return False
    return device == "cpu" or not _faiss_runs_on(int(device.partition(":")[2] or 0))


@lru_cache
def _faiss_runs_on(gpu: int) -> bool:
    """Whether FAISS can use a GPU. It ends the process if it was built for others, so a child tries first."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() <= gpu:
        return False
    trial = (
        "import faiss, numpy as np; rows = np.eye(8, dtype='f'); "
        f"index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), {gpu}, faiss.IndexFlatIP(8)); "
        "index.add(rows); index.search(rows, 1)"
    )
    tried = subprocess.run([sys.executable, "-c", trial], check=False, capture_output=True, text=True)
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        _log.warning("this FAISS cannot use the GPU %d, so it searches on the CPU: %s", gpu, reason)
    return tried.returncode == 0
