"""MATLAB 5 files, read by SciPy once their sizes are checked: a small file must not claim all memory."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.errors import NetvladError
from netvlad_core.files import read_file

_MOST = 1 << 30  # bytes; the networks that hloc takes have 0.6 GB
_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_INT32 = 5
_CELL, _STRUCT, _OBJECT = 1, 2, 3
_DEEPEST = 16


def read_mat_file(
    path: Path, error: type[NetvladError], most_compression: int, **options: Any
) -> dict[str, Any]:
    """Variables of a file.

    Parameters
    ----------
    error : raised if there is no file, it is damaged, of MATLAB 7.3, or declares more than it contains.
    most_compression : how many times its size the content may have.
    options : of `scipy.io.loadmat`.
    """
    try:
        content = read_file(path, _MOST)
    except OSError as reason:
        raise error(f"cannot read {path}: {reason}") from reason
    if content[:4] == b"\x89HDF" or content[512:516] == b"\x89HDF" or b"MATLAB 7.3" in content[:_HEADER]:
        raise error(f"{path} is a MATLAB 7.3 file; save it in MATLAB with the option -v7")
    from scipy.io import loadmat

    try:
        plain = _uncompressed(content, most_compression * len(content))
        _check_elements(memoryview(plain)[_HEADER:])
        return loadmat(io.BytesIO(plain), **options)
    except Exception as reason:  # SciPy raises many kinds for the many ways in which a file can be broken
        raise error(f"{path} is no readable MATLAB file up to version 7: {reason}") from reason


def is_mat_file(head: bytes) -> bool:
    """Whether the first 128 bytes are a header of MATLAB 5 or 7.3."""
    return head[:6] == b"MATLAB" or head[:4] == b"\x89HDF"


def _uncompressed(content: bytes, limit: int) -> bytes:
    """The same file without compression; raises ValueError if that is longer than `limit` bytes."""
    if len(content) < _HEADER or content[126:128] != b"IM":
        raise ValueError("it has no header of a little-endian MATLAB 5 file")
    parts, size = [content[:_HEADER]], 0
    for kind, body, raw in _elements(memoryview(content)[_HEADER:]):
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            raw = memoryview(stream.decompress(body, limit - size + 1))
            if stream.unconsumed_tail or not stream.eof:
                raise ValueError("a compressed part is truncated, or grows beyond what such a file can hold")
        size += len(raw)
        parts.append(bytes(raw))
    return b"".join(parts)


def _elements(content: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Kind, body and whole of each element; raises ValueError for one that is longer than what holds it."""
    position = 0
    while position < len(content):
        if position + 8 > len(content):
            raise ValueError("it is truncated")
        kind, size = struct.unpack_from("<II", content, position)
        start = position + 8
        if kind >> 16:  # a small element: its size in the upper half, up to four bytes in the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            if size > 4:
                raise ValueError("it is damaged")
        end = start + size
        if end > len(content):
            raise ValueError(f"an element declares {size} bytes where {len(content) - start} are left")
        after = min(end if kind == _COMPRESSED else end + (position - end) % 8, len(content))
        yield kind, content[start:end], content[position:after]
        position = after


def _check_elements(content: memoryview, depth: int = 0) -> None:
    """Walk through all arrays; raise ValueError for one that declares more entries than it has bytes."""
    if depth > _DEEPEST:
        raise ValueError("its structures are nested too deeply")
    for body in (body for kind, body, _ in _elements(content) if kind == _MATRIX and len(body)):
        parts = list(_elements(body))
        if len(parts) < 3 or parts[1][0] != _INT32 or len(parts[0][1]) < 4:
            raise ValueError("an array has no dimensions")
        entries = math.prod(np.frombuffer(parts[1][1], "<i4").tolist())
        held = sum(len(inner) for _, inner, _ in parts[2:])
        if parts[0][1][0] in (_CELL, _STRUCT, _OBJECT):
            # A structure has at least one field, and each entry of a field at least a tag.
            held //= 8
            _check_elements(body, depth + 1)
        if entries < 0 or entries > max(held, 1):
            raise ValueError(f"an array declares {entries} entries and has {held} bytes for them")
