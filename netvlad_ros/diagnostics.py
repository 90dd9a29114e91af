"""What the node tells about its own health on /diagnostics."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

# Figures are of the most recent images: a robot's day would bury a slow minute.
_RECENT = 100
# Reasons quote sizes, so they have no end: "JPEG of 12345 bytes is cut off", with another number each time.
_MOST_REASONS = 20


class Statistics:
    """Counts and durations, written by the worker and read by the diagnostics timer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._seconds: dict[str, deque[float]] = {}

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def skip(self, reason: str) -> None:
        """Count an image that could not be used."""
        with self._lock:
            is_told = reason in self._skipped or len(self._skipped) < _MOST_REASONS
            self._skipped[reason if is_told else "other reasons"] += 1

    def record(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds.setdefault(stage, deque(maxlen=_RECENT)).append(seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record how long the block takes."""
        start = perf_counter()
        yield
        self.record(stage, perf_counter() - start)

    def values(self) -> dict[str, str]:
        """All figures as text: counts, skips, and the median of each stage's recent durations."""
        with self._lock:
            counts = {what: str(count) for what, count in self._counts.items()}
            skips = {f"skipped: {reason}": str(count) for reason, count in self._skipped.items()}
            skips["images skipped"] = str(self._skipped.total())
            stages = {
                f"{stage} (ms, median of {len(recent)})": f"{1e3 * float(np.median(recent)):.1f}"
                for stage, recent in self._seconds.items()
            }
        return {**counts, **skips, **stages}


def status_message(name: str, hardware: str, problem: str | None, values: dict[str, str]) -> DiagnosticStatus:
    """One status: OK, or a warning with its sentence."""
    return DiagnosticStatus(
        level=DiagnosticStatus.OK if problem is None else DiagnosticStatus.WARN,
        name=name,
        message=problem or "working",
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
