"""A worker that always takes the newest item and never queues up lateness."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """One thread that works on the newest item at hand; an item that a newer one overtakes is dropped.

    Parameters
    ----------
    work : called in the thread; must not raise.
    """

    def __init__(self, work: Callable[[Item], None]) -> None:
        self._work = work
        self._waiting: Item | None = None
        self._stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="localize", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Hand over an item without waiting; returns whether it overtakes one that nobody has worked on."""
        with self._changed:
            overtakes = self._waiting is not None
            self._waiting = item
            self._changed.notify()
        return overtakes

    def stop(self) -> None:
        """Finish the item in work, drop the waiting one and end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting is not None)
                if self._stopped:
                    return
                item, self._waiting = self._waiting, None
            assert item is not None
            self._work(item)
