"""How much time verification may take: what one image has taken beyond its share, later ones do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

SKIPPED = "images not verified, for time"
_NOTHING = 1e-9  # seconds, for rounding


class VerificationBudget:
    """Says which images are verified, so that verification takes no more than its time per image on average.

    Each image has the same time. One that took three times as much is followed by two that are not verified.
    """

    def __init__(self) -> None:
        self._owed = 0.0  # seconds that verification has taken beyond those of the images so far

    def allows(self, seconds: float) -> bool:
        """Whether the next image is verified, with so much time for each image; 0 is no bound."""
        self._owed = max(0.0, self._owed - seconds) if seconds > 0 else 0.0
        return self._owed < _NOTHING

    def take(self, seconds: float) -> None:
        """Count time that verification has taken."""
        self._owed += seconds

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time of the block."""
        started = perf_counter()
        yield
        self.take(perf_counter() - started)

    def timer(
        self, timed: Callable[[str], AbstractContextManager[object]]
    ) -> Callable[[str], AbstractContextManager[object]]:
        """A timer of stages that counts the one in which local features are found."""

        @contextmanager
        def counting(stage: str) -> Iterator[None]:
            with timed(stage):
                if stage != "local features":
                    yield
                    return
                with self.counted():
                    yield

        return counting
