"""How many threads this process may use."""

from __future__ import annotations

import os


def allowed_threads() -> int:
    """What OMP_NUM_THREADS says, as torch takes it, else the cores that this process may run on."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if text.isdigit() and int(text):
        return int(text)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
