"""How much time verification may take: what is not done by then is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

SKIPPED = "images not verified, for time"
CUT = "images verified in part, for time"
UNREADABLE = "images not verified, local features changed on disk"
# Seconds. By design: features in the map take some 40 ms an image on two cores.
USUAL_TIME = 0.1
# How many times as long as the last verification the next one waits. By design: verification takes a third
# of the time at most, so that a fast camera's other images are answered at once; a thirtieth where local
# features alone take all the time of an image.
_REST, _LONG_REST = 2.0, 30.0


class VerificationBudget:
    """Ends the verification of an image when its time is used up, and lets the next images do without.

    Steps that have begun are finished.

    Parameters
    ----------
    clock : seconds, of any origin.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._resume = float("-inf")  # when the next image may be verified
        self._forget()

    def _forget(self) -> None:
        self._seconds = self._spent = 0.0
        self._since: float | None = None  # when the comparisons began
        self._is_begun = self._is_cut = self._has_compared = False

    def begin(self, seconds: float) -> bool:
        """Whether the next image is verified, within these seconds; 0 is no bound."""
        self._forget()
        self._seconds = seconds
        self._is_begun = seconds == 0 or self._clock() >= self._resume
        return self._is_begun

    def timer(
        self, timed: Callable[[str], AbstractContextManager[object]]
    ) -> Callable[[str], AbstractContextManager[object]]:
        """A timer of stages that counts the one in which local features are found."""

        @contextmanager
        def counting(stage: str) -> Iterator[None]:
            with timed(stage):
                started = self._clock()
                yield
                if stage == "local features":
                    self._spent += self._clock() - started

        return counting

    def has_time(self, share: float) -> bool:
        """Whether less than this share of the time is used."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        is_left = self._seconds == 0 or self._spent + now - self._since < share * self._seconds
        self._has_compared |= is_left
        self._is_cut |= not is_left
        return is_left

    def end(self) -> str:
        """What is to be counted of the image: SKIPPED, CUT, or nothing if it was verified as a whole."""
        if not self._is_begun:
            return SKIPPED
        now = self._clock()
        taken = self._spent + (now - self._since if self._since is not None else 0.0)
        is_vain = self._is_cut and not self._has_compared
        self._resume = now + taken * (_LONG_REST if is_vain else _REST)
        if is_vain:
            return SKIPPED
        return CUT if self._is_cut else ""
