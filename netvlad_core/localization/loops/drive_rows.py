"""Descriptors in float16 that grow in number and are compared as quickly as in float32."""

from __future__ import annotations

from copy import copy

import numpy as np

from netvlad_core.mapping.place_map import PlaceMap

_FIRST_CAPACITY = 256
_BLOCK_BYTES = 1 << 20  # of rows at a time, decoded: they stay in the cache of a core

# The bits of a float16, moved to where a float32 has them, are the number times 2^-112: the difference of the
# two exponents' biases. NumPy's own conversion takes ten times as long.
_SHIFT, _SIGN_EXPONENT_MANTISSA = 13, -0x70002000
_SCALE = np.float32(2.0**112)


class DriveRows:
    """Descriptors (N, D) of a drive that goes on, after those of an earlier map if there is one.

    Read by index they are float32. Those of a reduced map are compared in the numbers that it stores, and
    expanded to D only when they are read.

    Parameters
    ----------
    most : rows of the drive for which room is made at most.
    """

    def __init__(self, most: int, earlier: PlaceMap | None = None) -> None:
        self._most, self._earlier = most, earlier
        self._known = np.empty((0, 0), np.float16)
        self._own = np.empty((0, 0 if earlier is None else earlier.header.dimension), np.float16)
        self._count = 0  # of `_own` that is in use
        if earlier is not None:
            self._known = np.empty(earlier.descriptors.shape, np.float16)
            for start in range(0, len(earlier), _FIRST_CAPACITY):
                block = slice(start, start + _FIRST_CAPACITY)
                self._known[block] = earlier.descriptors[block]

    def __len__(self) -> int:
        return len(self._known) + self._count

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        return len(self), self._own.shape[1]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            return self[np.array([range(len(self))[rows]])][0]
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        found = np.empty((len(rows), self.shape[1]), np.float32)
        is_own = rows >= len(self._known)
        found[is_own] = self._own[: self._count][rows[is_own] - len(self._known)]
        if self._earlier is not None:
            found[~is_own] = self._earlier.whole_descriptors(rows[~is_own])
        return found

    def similarities(self, descriptor: np.ndarray) -> np.ndarray:
        """Inner products (N,) float32 with a descriptor (D,) float32."""
        known = np.empty(0, np.float32)
        if self._earlier is not None:
            known = half_products(self._known, self._earlier.reduced(descriptor))
        return np.concatenate([known, half_products(self._own[: self._count], descriptor)])

    def append(self, descriptor: np.ndarray) -> None:
        """Take another row (D,)."""
        if self._count == len(self._own):
            capacity = min(max(_FIRST_CAPACITY, 2 * self._count), self._most)
            grown = np.empty((capacity, len(descriptor)), np.float16)
            if self._count:  # before that D is unknown
                grown[: self._count] = self._own
            self._own = grown
        self._own[self._count] = descriptor
        self._count += 1

    def thin_out(self) -> None:
        """Drop every second row of the drive."""
        kept = self._own[: self._count : 2]
        self._own[: len(kept)] = kept
        self._count = len(kept)

    def snapshot(self) -> DriveRows:
        """The rows as they are now, which stay so while the drive goes on."""
        rows = copy(self)
        rows._own = self._own[: self._count].copy()
        return rows


def half_products(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Inner products (N,) float32 of rows (N, D) float16 with a query (D,) float32.

    The rows must be finite.
    """
    products = np.empty(len(rows), np.float32)
    scaled = np.asarray(query, np.float32) * _SCALE
    most = max(1, _BLOCK_BYTES // (4 * max(1, rows.shape[1])))
    decoded = np.empty((most, rows.shape[1]), np.int32)
    for start in range(0, len(rows), most):
        bits = rows[start : start + most].view(np.int16)
        block = decoded[: len(bits)]
        np.left_shift(bits, _SHIFT, out=block, dtype=np.int32)
        np.bitwise_and(block, _SIGN_EXPONENT_MANTISSA, out=block)
        np.dot(block.view(np.float32), scaled, out=products[start : start + most])
    return products
