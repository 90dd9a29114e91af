"""Judges the stamps of one topic by each other and by the time at which their messages came.

A stamp is left out if it runs ahead of the time that has passed, or far behind the stamp before it. If three
in a row agree with each other, the clock itself was set, and they are the new series.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from netvlad_core.data.judges.majority import LASTING, Majority, stretches

NEVER_SET = "stamp never set"
REPEATED = "stamp repeated"
OUT_OF_ORDER = "stamp out of order"
OTHER_CLOCK = "stamp of another clock"
SET_BACK = "stamp from before or after the clock was set"

# Nanoseconds. Messages overtake each other by less, and transport delays them by less.
LATE = 10**9
# Two clocks that differ by more than any delay of a message are two clocks.
_SAME_CLOCK = 5 * 10**9
_RECENT = 21


class _Stamped(NamedTuple):
    stamp: int
    received: int


class Judged(NamedTuple):
    """A message after its stamp was judged.

    Attributes
    ----------
    stamp : int, nanoseconds, the stamp to use; None if the message is left out.
    reason : constant of this module that says why the message is left out; otherwise empty.
    starts_anew : whether the clock was set back for good: nothing before this message compares with it.
    confirmed : number of messages, just left out as OTHER_CLOCK, that turn out to be right.
    """

    stamp: int | None
    reason: str = ""
    starts_anew: bool = False
    confirmed: int = 0


class ClockJudge:
    """Judges the stamps of a live topic one by one."""

    def __init__(self, ahead: int = LATE) -> None:
        """Take how far, in nanoseconds, a stamp may run ahead of the time between two messages."""
        self._ahead = ahead
        self._series = Majority(self._continues)
        self._lags: deque[int] = deque(maxlen=_RECENT)
        self._seen = self._unset = 0

    def judge(self, stamp: int, received: int) -> Judged:
        """Judge a message.

        Parameters
        ----------
        stamp : of its header, nanoseconds; 0 if it was not set.
        received : time of arrival or recording, nanoseconds; 0 before a simulated clock has begun.
        """
        last = self._series.last
        self._seen += 1
        if stamp == 0 and not (last and self._continues(last, _Stamped(0, received))):
            self._unset += 1
            if 2 * self._unset <= self._seen:
                return Judged(None, NEVER_SET)
            stamp = received
        return self._judge_set(stamp, received)

    def _judge_set(self, stamp: int, received: int) -> Judged:
        last, stamped = self._series.last, _Stamped(stamp, received)
        if last and stamp == last.stamp:
            return Judged(None, REPEATED)
        if last and 0 < last.stamp - stamp <= LATE and not self._series.continues_a_rival(stamped):
            return Judged(None, OUT_OF_ORDER)
        confirmed = self._series.take(stamped)
        if confirmed is None:
            return Judged(None, OTHER_CLOCK)
        if confirmed:
            self._lags.clear()
        if received:
            self._lags.append(received - stamp)
        return Judged(stamp, "", bool(last and stamp < last.stamp), confirmed)

    def _continues(self, before: _Stamped, after: _Stamped) -> bool:
        step = after.stamp - before.stamp
        return 0 < step <= max(after.received - before.received, 0) + self._ahead

    @property
    def lag(self) -> float | None:
        """Usual time from stamp to arrival in seconds (median of the last 21), None before the first one."""
        return float(np.median(self._lags)) / 1e9 if self._lags else None


@dataclass(frozen=True, eq=False)
class RecordedClock:
    """The stamps of a recorded topic after they were judged all together.

    Attributes
    ----------
    stamps : (N,) int64, nanoseconds; the time of recording if the topic has no stamps.
    reasons : (N,) str, reason to leave a message out; empty for those kept, whose stamps strictly increase.
    remark : sentence about an unusual clock, otherwise empty.
    lag : median time from stamp to recording in seconds, None without messages.
    """

    stamps: np.ndarray
    reasons: np.ndarray
    remark: str
    lag: float | None

    @property
    def is_kept(self) -> np.ndarray:
        return np.asarray(self.reasons == "")

    @property
    def left_out(self) -> Counter[str]:
        return Counter(self.reasons[~self.is_kept].tolist())


def judge_recording(stamps: ArrayLike, received: ArrayLike) -> RecordedClock:
    """Judge all stamps of a topic, and keep the longest time that runs forward, not the first one.

    Parameters
    ----------
    stamps, received : (N,) nanoseconds in the order of recording, see `ClockJudge.judge`.
    """
    stamps, received = np.array(stamps, dtype=np.int64), np.asarray(received, dtype=np.int64)
    reasons = np.full(len(stamps), "", dtype=object)
    remark = ""
    is_unset = stamps == 0
    if 2 * is_unset.sum() > len(stamps):
        stamps = np.where(is_unset, received, stamps)
        remark = "it has no stamps; the time of recording stands for them"
    elif is_unset.any():
        # The clock of a simulation does start at 0: such a stamp fits those around it.
        unset, others = np.flatnonzero(is_unset), np.flatnonzero(~is_unset)
        around = np.interp(unset, others, (received - stamps)[others])
        reasons[unset[np.abs(received[unset] - around) > _SAME_CLOCK]] = NEVER_SET
    rows = np.flatnonzero(reasons == "")
    if (np.diff(stamps[rows]) <= 0).any():
        found = _judge_in_order(rows, stamps, received, reasons)
        for lost in _outside_longest_chain(found, stamps, received):
            reasons[lost] = SET_BACK if len(lost) >= LASTING else OTHER_CLOCK
        if (reasons == SET_BACK).any():
            remark = f"its clock was set in mid-recording; kept {span(stamps[reasons == ''])}"
    lags = (received - stamps)[reasons == ""]
    return RecordedClock(stamps, reasons, remark, float(np.median(lags)) / 1e9 if len(lags) else None)


def _judge_in_order(
    rows: np.ndarray, stamps: np.ndarray, received: np.ndarray, reasons: np.ndarray
) -> list[list[int]]:
    """Return the rows of each stretch without a step of the clock; write the reasons of the others."""
    steps = np.diff(stamps[rows])
    # Wrong stamps make the longer steps.
    usual = np.percentile(steps[steps > 0], 25) if (steps > 0).any() else 0
    judge = ClockJudge(max(LATE, 3 * int(usual)))
    judged = [judge._judge_set(int(stamps[row]), int(received[row])) for row in rows]
    reasons[rows] = [verdict.reason for verdict in judged]
    found = stretches(
        (row, None if verdict.reason else verdict.confirmed)
        for row, verdict in zip(rows.tolist(), judged)
        if verdict.reason in ("", OTHER_CLOCK)
    )
    reasons[np.concatenate(found)] = ""
    return found


def _outside_longest_chain(
    found: list[list[int]], stamps: np.ndarray, received: np.ndarray
) -> list[list[int]]:
    """Leave out the stretches whose stamps follow each other and that last longest together."""
    first, last = stamps[[rows[0] for rows in found]], stamps[[rows[-1] for rows in found]]
    # By time, so that topics of one recording agree on it; then by messages.
    totals = np.array([received[rows[-1]] - received[rows[0]] + len(rows) for rows in found])
    before = np.full(len(found), -1)
    for i in range(1, len(found)):
        possible = np.where(last[:i] < first[i], totals[:i], 0)
        if possible.max() > 0:
            before[i] = possible.argmax()
            totals[i] += possible.max()
    row, chosen = int(totals.argmax()), set()
    while row >= 0:
        chosen.add(row)
        row = int(before[row])
    return [rows for i, rows in enumerate(found) if i not in chosen]


def span(stamps: Sequence[int] | np.ndarray) -> str:
    """First to last instant, for a sentence; dates tell the clock of a camera since boot from that of day."""
    ends = [datetime.fromtimestamp(stamp // 10**9, timezone.utc) for stamp in (min(stamps), max(stamps))]
    return f"{ends[0]:%Y-%m-%d %H:%M:%S} to {ends[1]:%Y-%m-%d %H:%M:%S}"


def clock_difference(lag: float | None, other: float | None) -> float:
    """Seconds by which one topic's clock is behind another's; 0.0 if a delay of messages explains it."""
    if lag is None or other is None or abs(lag - other) * 1e9 <= _SAME_CLOCK:
        return 0.0
    return lag - other
