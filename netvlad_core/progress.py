"""One progress bar for all long work: what is done, how fast, and how long the rest takes."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from tqdm import tqdm

_is_stopped = False


def stop_at_ctrl_c() -> None:
    """Let Ctrl-C end what a bar shows even if its KeyboardInterrupt is lost; for programs, not for libraries.

    Raised in a finalizer, or where a library calls back into Python, it goes nowhere.
    """
    global _is_stopped
    _is_stopped = False
    if current_thread() is main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    global _is_stopped
    _is_stopped = True
    signal.default_int_handler(number, frame)


class _Bar(tqdm):
    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            if _is_stopped:
                raise KeyboardInterrupt
            yield item


def bar(
    items: Iterable[Any] | None = None,
    title: str | None = None,
    total: int | None = None,
    unit: str = "image",
    show: bool = True,
    done: int = 0,
) -> Any:
    """A tqdm bar around items, or one to be updated by hand; it appears in a terminal only.

    Parameters
    ----------
    total : number of items; default: their length.
    unit : what is counted; "B" for bytes.
    done : items that were done before.
    """
    hidden = None if show else True  # None: tqdm itself looks whether there is a terminal
    return _Bar(
        items,
        title,
        total,
        unit=unit,
        unit_scale=unit == "B",
        initial=done,
        disable=hidden,
        dynamic_ncols=True,
    )
