"""How a program that runs networks on the CPU shares its machine; nothing heavy is imported here."""

from __future__ import annotations

import ctypes
import os

# Parameters of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_AT_LEAST = 1 << 30
# Threads of OpenMP and OpenBLAS wait busily for more work, those of OpenBLAS for the time between two images
# of a camera: a core of its own. 2^4 cycles instead of 2^26. Both libraries read these when they are loaded.
_PATIENCE = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"}


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


def let_idle_threads_sleep() -> None:
    """Leave the cores to others between two images; for programs, before they import NumPy.

    What the user has set stays.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
