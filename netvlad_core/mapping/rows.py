"""Rows of an array in a file, read when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


class StoredRows:
    """An array (N, D) on disk; its rows come as float32.

    The pages of a memory-mapped file count as memory of the process; these do not.

    Parameters
    ----------
    path : file.
    dtype : of the numbers in it.
    shape : N and D.
    offset : bytes before the first row.
    """

    def __init__(self, path: Path, dtype: np.dtype | type, shape: tuple[int, int], offset: int = 0) -> None:
        self.path, self.dtype, self.shape = path, np.dtype(dtype), shape
        self._offset = offset

    @classmethod
    def of_npy(cls, path: Path) -> StoredRows:
        """Of a file that NumPy has written."""
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(path, array.dtype, array.shape, array.offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        width = self.shape[1] * self.dtype.itemsize
        parts = [(row, 1) for row in rows.tolist()] if isinstance(rows, np.ndarray) else []
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            assert step == 1
            parts = [(start, max(0, stop - start))]
        with self.path.open("rb") as file:
            content = b"".join(
                os.pread(file.fileno(), count * width, self._offset + first * width) for first, count in parts
            )
        return np.frombuffer(content, self.dtype).reshape(-1, self.shape[1]).astype(np.float32, copy=False)
