"""JPEG files that are not whole: cut off, with a hole, or without a packet that the camera has sent.

libjpeg makes a picture of each of them, grey from where its data ends, and only prints a line. Whether data
is missing can be seen from outside: behind a whole picture other data may stand without changing a pixel of
it. That takes two more decodings, so it is asked only of pictures with a grey corner, 3 in 100 of those that
are whole.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np

from netvlad_core.errors import ImageError

CUT_OFF = "image cut off"

_PROGRESSIVE, _START, _END, _SCAN, _RESTART_INTERVAL = 0xC2, 0xD8, 0xD9, 0xDA, 0xDD
END = bytes((0xFF, _END))
# In picture data FF 00 is an escaped FF and FF D0 to D7 are restarts; anything else begins a segment.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
# A block of 8x8 pixels takes at least one bit.
_MOST_PIXELS_A_BYTE = 512
# Data that is in no picture. It begins with ones, since libjpeg goes on with zeros where data ends.
_OTHER = bytes(37 * n % 254 + 1 for n in range(5, 133))
_FEW = _OTHER[:32]
_GREY, _NEARLY = 128, 2
_HOLE = bytes(64)
_FEW_ZEROS = 8  # bytes at the end of a picture that may be part of it
_LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green, red


class Layout(NamedTuple):
    """Where the picture lies in a file.

    Attributes
    ----------
    begin, end : first byte of the first scan, and end of the last one.
    is_ended : whether the end marker is there.
    scans : how many there are; more than one in a progressive file.
    lacks_scans : whether some bits of a progressive file come in none of them.
    restarts : whether there are restart markers.
    """

    begin: int
    end: int
    is_ended: bool
    scans: int
    lacks_scans: bool
    restarts: bool


def is_jpeg(data: memoryview) -> bool:
    return data[:2] == b"\xff\xd8"


def layout_of(data: memoryview) -> Layout:
    """Walk the segments: an embedded thumbnail has an end marker, too, and padding may follow the last."""
    position = begin = scans = 0
    restarts = is_progressive = False
    bits: dict[tuple[int, bool], int] = {}  # lowest one that has come of a component's mean, and of the rest
    while match := _MARKER.search(data, position):
        marker, position = data[match.end() - 1], match.end()
        if marker == _END:
            break
        if marker == _START:
            continue
        segment = data[position : position + int.from_bytes(data[position : position + 2], "big")]
        position += len(segment)
        restarts |= marker == _RESTART_INTERVAL
        is_progressive |= marker == _PROGRESSIVE
        if marker == _SCAN and len(segment) > 2:
            scans, begin = scans + 1, begin or position
            bits |= {(component, segment[-3] > 0): segment[-1] & 15 for component in segment[3:-3:2]}
    lacks = is_progressive and (any(bits.values()) or len(bits) % 2 > 0)
    return Layout(begin, match.start() if match else len(data), match is not None, scans, lacks, restarts)


def refuse_impossible(data: memoryview, width: int, height: int) -> None:
    """Raise ImageError, before memory is taken, if the file is too short for its number of pixels."""
    if width * height > _MOST_PIXELS_A_BYTE * len(data):
        size = f"{width}x{height} pixels"
        raise ImageError(f"JPEG of {len(data)} bytes is cut off: they cannot hold {size}", CUT_OFF)


def with_end(data: memoryview) -> memoryview:
    """The file with its end marker, which some cameras omit; raises ImageError if more is missing."""
    if data[-2:] == END or (layout := layout_of(data)).is_ended:
        return data
    picture = bytes(data).rstrip(b"\xff")
    begun = picture.rstrip(b"\0")  # buffers are filled up with zeros, and so are files after a crash
    if layout.lacks_scans or not _is_same(picture, begun + picture[len(begun) :][:_FEW_ZEROS] + _OTHER, 1):
        raise ImageError(f"JPEG of {len(data)} bytes is cut off: its end marker is missing", CUT_OFF)
    return memoryview(picture + END)


def refuse_incomplete(data: memoryview, picture: np.ndarray) -> None:
    """Raise ImageError if a picture (H, W, 3) uint8 BGR or (H, W) was decoded from less data than it needs.

    Other data in the place of a part goes unnoticed if it is not too short, except for zeros, and so do
    holes in a progressive file.
    """
    layout = layout_of(data)
    scan = bytes(data[layout.begin : layout.end])
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float)  # the last block may have been turned
    luma = corners @ _LUMA if picture.ndim == 3 else corners
    is_grey, has_hole = (np.abs(luma - _GREY) <= _NEARLY).any(), _HOLE in scan
    if (
        layout.lacks_scans
        or (layout.restarts and layout.scans == 1 and _skips(scan))
        or ((is_grey or has_hole) and not _has_all(bytes(data[: layout.end]), layout.scans, has_hole))
    ):
        raise ImageError(f"JPEG of {len(data)} bytes lacks a part of its picture", CUT_OFF)


def _skips(scan: bytes) -> bool:
    """Whether restart markers, which count from 0 to 7 again and again, are missing."""
    numbers = np.frombuffer(b"".join(_RESTART.findall(scan)), np.uint8) & 7
    return bool((numbers != np.arange(len(numbers)) % 8).any())


def _has_all(data: bytes, scans: int, has_hole: bool) -> bool:
    """Whether the picture, given without its end marker, needs no more data, and with a hole no less."""
    data = data.rstrip(b"\xff")
    reduction = 8 if scans == 1 else 1  # the last scans hold only what a smaller picture leaves out
    if not _is_same(data, data + _OTHER, reduction):
        return False
    used = data.rstrip(b"\0")[: -len(_FEW)] + _FEW
    return not has_hole or not _is_same(data, used, reduction)


def _is_same(data: bytes, other: bytes, reduction: int) -> bool:
    """Whether two files without end markers have the same pixels, made smaller by a factor of 1 or 8."""
    from PIL import Image

    def decoded(file: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(file + END), formats=["JPEG"]) as picture:
            picture.draft(None, (picture.width // reduction or 1, picture.height // reduction or 1))
            return np.asarray(picture)

    try:
        return np.array_equal(decoded(data), decoded(other))
    except (OSError, ValueError, SyntaxError):  # damaged beyond what makes a picture
        return False
