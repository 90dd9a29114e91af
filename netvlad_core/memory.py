"""Memory of a process that runs networks on the CPU."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_AT_LEAST = 1 << 30


def keep_freed_memory() -> None:
    """Make the process keep freed memory for the next image; for programs, not for libraries.

    A network allocates and frees the same megabytes for every image. glibc returns them to the system each
    time, and the system clears each page again, which takes nearly half the time of a small network. The peak
    memory does not grow. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, _AT_LEAST)
    mallopt(_TRIM_THRESHOLD, _AT_LEAST)
