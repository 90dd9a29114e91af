"""A worker that takes the newest item that is ready, and never queues up lateness."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Items that wait for what belongs to them; images are large.
_MOST_WAITING = 8


class NewestWorker(Generic[Item]):
    """One thread that works on the newest ready item; older ones that wait beside it are dropped.

    Parameters
    ----------
    work : called in the thread; must not raise.
    patience : seconds for which an item still has to wait, 0 when it is ready; asked again after that time
        and on each `wake`. Without it every item is ready at once.
    on_drop : called with each dropped item, in whatever thread; must be quick and not raise.
    """

    def __init__(
        self,
        work: Callable[[Item], None],
        patience: Callable[[Item], float] = lambda item: 0.0,
        on_drop: Callable[[Item], None] = lambda item: None,
    ) -> None:
        self._work = work
        self._patience = patience
        self._on_drop = on_drop
        self._waiting: list[Item] = []
        self._stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item without waiting for its turn."""
        with self._changed:
            if len(self._waiting) == _MOST_WAITING:  # the oldest are ready first, so the last one makes room
                self._on_drop(self._waiting.pop())
            self._waiting.append(item)
            self._drop_overtaken()
            self._changed.notify()

    def wake(self) -> None:
        """Look again at what is ready."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """Finish the item in work, drop the waiting ones and end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _drop_overtaken(self) -> bool:
        """Drop what is older than the newest ready item; returns whether there is one, now the first."""
        for index in reversed(range(len(self._waiting))):
            if self._patience(self._waiting[index]) <= 0:
                for overtaken in self._waiting[:index]:
                    self._on_drop(overtaken)
                del self._waiting[:index]
                return True
        return False

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._work(item)

    def _next(self) -> Item | None:
        with self._changed:
            while not self._stopped:
                if self._drop_overtaken():
                    return self._waiting.pop(0)
                self._changed.wait(min(map(self._patience, self._waiting), default=None))
            return None
