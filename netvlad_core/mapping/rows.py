"""Rows of an array in a file, read when they are asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netvlad_core.errors import MapError
from netvlad_core.mapping.stored_file import StoredFile

# What NumPy writes before an array of numbers in one or two dimensions; anything else is not parsed.
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>][fi][248])', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,15}), ?(\d{0,15})\), \} *\n",
    re.DOTALL,
)
_LONGEST_HEADER = 1024  # bytes


class StoredRows:
    """An array (N, D) on disk; its rows come as float32.

    The pages of a memory-mapped file count as memory of the process; these do not.

    Parameters
    ----------
    path : file that holds the rows and nothing after them, or that file when it is open already.
    dtype : of the numbers in it.
    shape : N and D.
    offset : bytes before the first row.

    Raises
    ------
    MapError
        If the file has another size, or when rows are read if it has changed meanwhile.
    """

    def __init__(
        self, path: Path | StoredFile, dtype: np.dtype | type, shape: tuple[int, ...], offset: int = 0
    ) -> None:
        self.dtype, self.shape = np.dtype(dtype), shape
        self._file = path if isinstance(path, StoredFile) else StoredFile(path)
        self._offset, self._width = offset, shape[1] * self.dtype.itemsize
        _check_size(self._file, offset + shape[0] * self._width)

    @classmethod
    def of_npy(cls, path: Path | StoredFile) -> StoredRows:
        """Of a file that NumPy has written; raises MapError if it is not one of rows."""
        file = path if isinstance(path, StoredFile) else StoredFile(path)
        dtype, shape, order, offset = _npy_header(file)
        if len(shape) != 2 or order != "C":
            raise MapError(f"{file.path} holds no rows, one after the other")
        return cls(file, dtype, shape, offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            return self[np.array([range(len(self))[rows]])][0]
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            parts = [(start, max(0, stop - start))]
        else:
            parts = [(row, 1) for row in rows.tolist()]
        bytes_of = ((self._offset + first * self._width, count * self._width) for first, count in parts)
        content = np.frombuffer(self._file.read_parts(bytes_of), self.dtype)
        return content.reshape(-1, self.shape[1]).astype(np.float32, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, for NumPy."""
        return self[:].astype(dtype or np.float32, copy=False)


def load_array(file: StoredFile, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Read an array that NumPy has written into memory; raises MapError if it is another one."""
    found, found_shape, order, offset = _npy_header(file)
    check_kind(file, found, found_shape, dtype, shape)
    _check_size(file, offset + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(file.read(offset), dtype).reshape(shape, order=order)


def check_kind(
    file: StoredFile, found: np.dtype, found_shape: tuple[int, ...], dtype: type, shape: tuple[int, ...]
) -> None:
    """Raise MapError if an array has another type or shape than map.json says."""
    if (found, found_shape) != (dtype, shape):
        raise MapError(f"{file.path} holds {found} {found_shape}; map.json says {np.dtype(dtype)} {shape}")


def _npy_header(file: StoredFile) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"], int]:
    """Type, shape, order and offset of the numbers."""
    found = _NPY_HEADER.match(file.read(0, min(_LONGEST_HEADER, file.size)))
    if found is None:
        raise MapError(f"{file.path} is not readable as an array of NumPy")
    dtype, is_fortran, *lengths = (group.decode() for group in found.groups())
    shape = tuple(int(length) for length in lengths if length)
    return np.dtype(dtype), shape, "F" if is_fortran == "True" else "C", found.end()


def _check_size(file: StoredFile, size: int) -> None:
    if file.size != size:
        raise MapError(f"{file.path} has {file.size} bytes; expected {size}")
