"""How a process that runs networks on the CPU deals with its memory."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_AT_LEAST = 1 << 30


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, for the next image; for programs, not for libraries.

    A network frees and asks for the same megabytes with every image. glibc returns them to the system each
    time, and the system clears each page anew: nearly half of the time of a small network. The peak of the
    memory stays as it is. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, _AT_LEAST)
    mallopt(_TRIM_THRESHOLD, _AT_LEAST)
