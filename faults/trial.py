"""One fault after the other, each watched: what it may raise, how long it may take, what it may cost."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import FrameType

import numpy as np

from benchmarks._measure import peak_megabytes
from netvlad_core.errors import NetvladError

GROWTH_MB = 50.0
# Above what the process has: so much memory is an error of its own, not the end of the machine.
_ROOM = 6 << 30
MOST_SAID = 2000  # characters of a sentence
_SHOWN = 160


class Bad(Exception):
    """A fault that was not survived: silently wrong, or lost. The first word is the kind."""


@contextmanager
def no_loss() -> Iterator[None]:
    """Look at what the fault must have left whole: an error there is a loss, not a refusal."""
    try:
        yield
    except NetvladError as error:
        raise Bad(f"loss: {error}") from error


class Hang(BaseException):
    """No answer in time; no `except Exception` may hold it."""


@dataclass(frozen=True)
class Cost:
    """What a fault costs a node.

    Attributes
    ----------
    seconds : from the beginning of the fault until the next good image is answered.
    megabytes : resident memory at its peak meanwhile, beyond what the node had before.
    """

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    name : what is done to what; with the seed of the run it says all.
    trial : does it and judges the outcome. It returns if the answer is right, with the Cost if it is a node
        that answers, raises NetvladError if the fault is refused with a sentence, and Bad or anything else if
        it is not survived.
    seconds : after which it hangs; whatever is right takes a tenth of it.
    """

    name: str
    trial: Callable[[], object]
    seconds: int = 20


FaultClass = Callable[[np.random.Generator, Path, float], Iterator[Fault]]


@dataclass
class Report:
    """Outcome of one class.

    Attributes
    ----------
    slowest : seconds and name of the fault that took longest.
    costs : name and cost of each fault of a node.
    bad : kind, name and detail of each fault that was not survived.
    """

    name: str
    seed: int
    injected: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: tuple[float, str] = (0.0, "")
    costs: list[tuple[str, Cost]] = field(default_factory=list)
    bad: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def kinds(self) -> str:
        counted = Counter(kind for kind, *_ in self.bad)
        return ", ".join(f"{count} {kind}" for kind, count in counted.items())


def run(name: str, faults: FaultClass, seed: int, folder: Path, share: float, only: int | None) -> Report:
    """Inject the faults of one class; `share` of 1 is all of them, `only` one by its number."""
    report = Report(name, seed)
    started = monotonic()
    with _bounded():
        for number, fault in enumerate(faults(np.random.default_rng(seed), folder, share)):
            if only is None or number == only:
                _inject(fault, number, report)
    report.seconds = monotonic() - started
    return report


def _inject(fault: Fault, number: int, report: Report) -> None:
    report.injected += 1
    before, kind, detail, started = reset_peak(), "", "", monotonic()
    try:
        with _deadline(fault.seconds):
            if isinstance(outcome := fault.trial(), Cost):
                report.costs.append((fault.name, outcome))
    except NetvladError as error:
        report.refused += 1
        if "\n" in str(error) or len(str(error)) > MOST_SAID:
            kind, detail = "unreadable", str(error)
    except Hang:
        kind, detail = "hang", f"no answer in {fault.seconds} s"
    except Bad as error:
        kind, _, detail = str(error).partition(": ")
    except Exception as error:  # what no caller expects
        kind, detail = "crash", f"{type(error).__name__}: {error}"
    if not kind and (growth := peak_megabytes() - before) > GROWTH_MB:
        kind, detail = "growth", f"{growth:.0f} MB"
    report.slowest = max(report.slowest, (monotonic() - started, fault.name))
    if kind:
        report.bad.append((kind, f"#{number} {fault.name}", detail[:_SHOWN]))


@contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


@contextmanager
def _bounded() -> Iterator[None]:
    """Let the process take a few gigabytes more than it has, and libraries complain unheard."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    earlier = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, earlier[1]))
    heard = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(heard, 2)
        os.close(heard)
        resource.setrlimit(resource.RLIMIT_AS, earlier)


def reset_peak(pid: int | str = "self") -> float:
    """Resident megabytes of a process, from which its peak is counted anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_megabytes(pid)
