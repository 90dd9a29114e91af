"""An executor of several threads that keeps its head when the interpreter is busy."""

from __future__ import annotations

from time import sleep
from typing import Any

from rclpy.executors import MultiThreadedExecutor

_PATIENCE = 0.0005  # seconds


class ThreadedExecutor(MultiThreadedExecutor):
    """rclpy's, but each callback is handed to the threads once.

    rclpy's own hands a callback out again and again until a thread has begun it. While the network holds the
    interpreter that piles up thousands of copies, and looking through them takes all of a core: beside
    odometry at 50 Hz, images at 5 Hz were answered late by seconds or not at all.
    """

    def __init__(self, num_threads: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_threads, **kwargs)
        self._handed_out: set[Any] = set()

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """The next callback that nobody has been given yet; see rclpy."""
        while True:
            ready = super().wait_for_ready_callbacks(*args, **kwargs)
            task = ready[0]
            self._handed_out = {other for other in self._handed_out if not other.done()}
            if task not in self._handed_out:
                self._handed_out.add(task)
                return ready
            sleep(_PATIENCE)  # a thread can begin it only if this one lets go of the interpreter
