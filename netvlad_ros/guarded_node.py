"""A node that goes on when one of its callbacks fails: by itself rclpy ends the whole process."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from traceback import format_exception
from typing import Any

from rclpy.lifecycle import LifecycleNode

from netvlad_ros.diagnostics import Problem, Statistics

STREAM = "callbacks"


class GuardedNode(LifecycleNode):
    """A lifecycle node whose subscriptions, timers and services are guarded, those of its parts included.

    What a callback raises is counted, stands in /diagnostics, and is logged with its traceback once.

    Attributes
    ----------
    statistics : figures for /diagnostics.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.statistics = Statistics()
        self._told: set[str] = set()
        super().__init__(name, **kwargs)

    def create_subscription(self, msg_type: Any, topic: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See rclpy."""
        guarded = self._guarded(f"a message on {topic}", callback)
        return super().create_subscription(msg_type, topic, guarded, *args, **kwargs)

    def create_timer(self, timer_period_sec: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See rclpy."""
        return super().create_timer(timer_period_sec, self._guarded("a timer", callback), *args, **kwargs)

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """See rclpy; a call that fails is answered with an empty response."""
        guarded = self._guarded(f"a call of {srv_name}", callback)
        return super().create_service(srv_type, srv_name, guarded, *args, **kwargs)

    def callback_problems(self) -> list[Problem]:
        """The failures of the last seconds."""
        recent = self.statistics.recent(STREAM)
        return [Problem("callback failed", recent.main_reason)] if recent.total else []

    def _guarded(self, what: str, callback: Callable[..., Any]) -> Callable[..., Any]:

        @wraps(callback)  # rclpy looks at the arguments that it takes
        def guarded(*arguments: Any) -> Any:
            try:
                return callback(*arguments)
            except Exception as error:
                if not self.context.ok():  # the node is ending, and nothing can be published
                    raise
                self._tell(f"{what} failed: {type(error).__name__}", error)
                return arguments[-1] if len(arguments) == 2 else None  # the response of a service

        return guarded

    def _tell(self, kind: str, error: Exception) -> None:
        self.statistics.leave_out(STREAM, f"{kind}: {error}; the node goes on", kind)
        if kind not in self._told:
            self._told.add(kind)
            self.get_logger().error(f"{kind}; the node goes on\n{''.join(format_exception(error))}")
