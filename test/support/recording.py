"""A node that only remembers: what is published is put in lists, and timers go off when a test says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rclpy.clock import Clock


class RecordingPublisher:
    """Keeps what is published on one topic.

    Attributes
    ----------
    listeners : how many subscriptions it says it has.
    """

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.listeners = 1

    def publish(self, message: Any) -> None:
        self.sent.append(message)

    def get_subscription_count(self) -> int:
        return self.listeners


class RecordingNode:
    """Stands for an rclpy node where outputs and answers are made.

    Attributes
    ----------
    publishers : by topic.
    callbacks : of subscriptions, by topic.
    timers : callbacks of the timers.
    log : what was logged, by level.
    counts : what was counted.
    """

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.publishers: dict[str, RecordingPublisher] = {}
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self.timers: list[Callable[[], None]] = []
        self.log: dict[str, list[str]] = defaultdict(list)
        self.counts: Counter[str] = Counter()

    def sent(self, topic: str) -> list[Any]:
        return self.publishers[topic].sent

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def create_publisher(self, kind: Any, topic: str, qos: Any) -> RecordingPublisher:
        self.publishers[topic] = RecordingPublisher()
        return self.publishers[topic]

    create_lifecycle_publisher = create_publisher

    def create_subscription(self, kind: Any, topic: str, callback: Any, qos: Any) -> str:
        self.callbacks[topic] = callback
        return topic

    def create_timer(self, period: float, callback: Callable[[], None]) -> Callable[[], None]:
        self.timers.append(callback)
        return callback

    def destroy_publisher(self, publisher: RecordingPublisher) -> None:
        self.publishers = {topic: other for topic, other in self.publishers.items() if other is not publisher}

    def destroy_subscription(self, topic: str) -> None:
        del self.callbacks[topic]

    def destroy_timer(self, timer: Callable[[], None]) -> None:
        self.timers.remove(timer)

    def value(self, name: str) -> Any:
        return self.parameters[name]

    def get_clock(self) -> Clock:
        return Clock()

    def get_logger(self) -> Any:
        def at(level: str) -> Callable[..., None]:
            return lambda text, **options: self.log[level].append(text)

        return SimpleNamespace(**{level: at(level) for level in ("info", "warning", "error")})
