"""What a node tells about its own health on /diagnostics: figures, and problems by rule.

OK: answers come. WARN: they come, but something that belongs to them is missing or left out, or the node
waits for somebody. ERROR: none can come until somebody mends the cause.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import monotonic, perf_counter

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

# Durations are of the most recent images: a robot's day would bury a slow minute.
_RECENT = 100
# Rates and rules look at the last seconds, so that a cause is named within them, and forgotten after them.
WINDOW = 5.0
_MOST_EVENTS = 2000
_MOST_KINDS = 20
_ALWAYS_TOLD = ("images received", "images used", "images left out", "odometry received")
_LONGEST_KIND = 60
_PERIOD = 1.0
# Seconds after which a problem that is not seen any more is over; one that comes and goes goes on.
_OVER = 10.0
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")


@dataclass(frozen=True)
class Problem:
    """Something that keeps the node from its work.

    Attributes
    ----------
    kind : short and stable, tells two problems apart whose figures change.
    message : what was expected, what is found and what to do.
    is_fatal : whether no answer can come until it is mended.
    """

    kind: str
    message: str
    is_fatal: bool = False


@dataclass(frozen=True)
class Recent:
    """What became of the messages of one stream in the last seconds.

    Attributes
    ----------
    total : number of messages.
    left_out : number of messages for each kind of reason.
    sentences : newest reason in full for each kind.
    last_kind : why the newest message was left out, empty if it is used.
    """

    total: int
    left_out: Counter[str]
    sentences: dict[str, str]
    last_kind: str = ""

    @property
    def share(self) -> float:
        """Share of messages that were left out."""
        return self.left_out.total() / self.total if self.total else 0.0

    @property
    def main_reason(self) -> str:
        """Newest sentence of the most frequent kind."""
        return self.sentences[self.left_out.most_common(1)[0][0]]


class Statistics:
    """Counts, rates and durations, written by several threads and read by the diagnostics timer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._left_out: dict[str, Counter[str]] = {}
        self._events: dict[str, deque[tuple[float, str, str]]] = {}
        self._seconds: dict[str, deque[float]] = {}

    def count(self, what: str) -> None:
        """Count an event, whose number is a value of the status."""
        with self._lock:
            self._counts[what] += 1

    def take(self, stream: str) -> None:
        """Count a message of a stream that is used."""
        self.count(f"{stream} used")
        self.note(stream)

    def leave_out(self, stream: str, reason: str, kind: str | None = None) -> None:
        """Count a message of a stream that is not used; by default the sentence gives the kind."""
        kind = kind or kind_of(reason)
        with self._lock:
            kinds = self._left_out.setdefault(stream, Counter())
            if kind not in kinds and len(kinds) >= _MOST_KINDS:
                kind = "other reasons"
            kinds[kind] += 1
        self.note(stream, kind, reason)

    def note(self, stream: str, kind: str = "", reason: str = "") -> None:
        """Have a message count among the recent ones of a stream; with a kind it was left out."""
        with self._lock:
            events = self._events.setdefault(stream, deque(maxlen=_MOST_EVENTS))
            events.append((monotonic(), kind, reason))

    def recent(self, stream: str) -> Recent:
        """Look at the last seconds of a stream."""
        with self._lock:
            events = [event for event in self._events.get(stream, ()) if event[0] > monotonic() - WINDOW]
        left_out = Counter(kind for _, kind, _ in events if kind)
        sentences = {kind: reason for _, kind, reason in events if kind}
        return Recent(len(events), left_out, sentences, events[-1][1] if events else "")

    def forget_recent(self) -> None:
        """Begin the last seconds anew, since the node itself does."""
        with self._lock:
            self._events.clear()

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
        """All figures as text in a stable order: counts, reasons, rates and medians of recent durations."""
        rates = {f"{stream} (Hz)": f"{self.recent(stream).total / WINDOW:.1f}" for stream in self._streams()}
        with self._lock:
            counts = dict.fromkeys(_ALWAYS_TOLD, 0) | self._counts
            counts |= {f"{stream} left out": kinds.total() for stream, kinds in self._left_out.items()}
            reasons = {
                f"{stream} left out: {kind}": str(number)
                for stream, kinds in sorted(self._left_out.items())
                for kind, number in sorted(kinds.items())
            }
            stages = {
                f"{stage} (ms, median of {len(recent)})": f"{1e3 * float(np.median(recent)):.1f}"
                for stage, recent in sorted(self._seconds.items())
            }
        return {**{what: str(counts[what]) for what in sorted(counts)}, **reasons, **rates, **stages}

    def _streams(self) -> list[str]:
        with self._lock:
            return sorted(stream for stream in self._events if f"{stream} used" in self._counts)


class HealthReport:
    """Publishes a status every second, in every state of the node, and logs when a problem begins and ends.

    Parameters
    ----------
    node : gives name, logger and publisher.
    statistics : figures of the status.
    problems : asked each time; the worst one comes first in the status.
    facts : asked each time for values that describe the node, such as the map that is open.
    """

    def __init__(
        self,
        node: Node,
        statistics: Statistics,
        problems: Callable[[], Sequence[Problem]],
        facts: Callable[[], dict[str, str]],
    ) -> None:
        self._node = node
        self._statistics = statistics
        self._problems = problems
        self._facts = facts
        self._going_on: dict[str, tuple[str, float]] = {}  # sentence and last time, by kind
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        # On a steady clock: a simulation that stands still, or that has no /clock, is worth reporting.
        self._timer = node.create_timer(
            _PERIOD,
            self._publish,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _publish(self) -> None:
        problems = sorted(self._problems(), key=lambda problem: not problem.is_fatal)
        self._log(problems)
        facts = self._facts()
        values = {**facts, **self._statistics.values()}
        name, hardware = self._node.get_fully_qualified_name(), facts.get("images from", "")
        status = status_message(name, hardware, problems, values)
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._publisher.publish(DiagnosticArray(header=header, status=[status]))

    def _log(self, problems: Sequence[Problem]) -> None:
        now, logger = monotonic(), self._node.get_logger()
        for problem in problems:
            if problem.kind in self._going_on:
                text, _ = self._going_on[problem.kind]
            else:
                text = problem.message
                if problem.is_fatal:  # rclpy wants a line of its own for each severity
                    logger.error(text)
                else:
                    logger.warning(text)
            self._going_on[problem.kind] = text, now
        for kind, (text, last) in list(self._going_on.items()):
            if now - last > _OVER:
                logger.info(f"no longer: {text}")
                del self._going_on[kind]


def status_message(
    name: str, hardware: str, problems: Sequence[Problem], values: dict[str, str]
) -> DiagnosticStatus:
    """One status: OK, or WARN or ERROR with the sentences of all problems."""
    level = DiagnosticStatus.OK
    if problems:
        is_fatal = any(problem.is_fatal for problem in problems)
        level = DiagnosticStatus.ERROR if is_fatal else DiagnosticStatus.WARN
    return DiagnosticStatus(
        level=level,
        name=name,
        message="; ".join(problem.message for problem in problems) or "working",
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def kind_of(reason: str) -> str:
    """Shorten a sentence to its kind: without names, numbers and advice, which differ from case to case.

    Examples
    --------
    >>> kind_of("image encoding 'foo' is not known; expected one of 16UC1, 8UC3")
    'image encoding is not known'
    """
    words = " ".join(_QUOTED.sub("", re.split(r"[;:]", reason)[0]).split())
    return words[:_LONGEST_KIND] or "other reasons"
