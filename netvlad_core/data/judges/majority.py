"""A series in which each item continues the one before; an item that does not must prove itself first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

# This many items in a row are no accident.
LASTING = 3


class Majority(Generic[T]):
    """Follows a series. An item that does not continue it is left out, unless others continue that item.

    Attributes
    ----------
    last : newest item of the series, None before the first one.
    """

    def __init__(self, continues: Callable[[T, T], bool]) -> None:
        """Take the rule: whether the second item can follow the first."""
        self.last: T | None = None
        self._continues = continues
        self._support = 0
        self._rivals: list[T] = []

    def continues_a_rival(self, item: T) -> bool:
        """Tell whether the item follows those that were left out last."""
        return bool(self._rivals) and self._continues(self._rivals[-1], item)

    def take(self, item: T) -> int | None:
        """Judge an item.

        Returns
        -------
        None if the item is left out. Otherwise the number of items, just left out, that it confirms: 0 while
        the series goes on, more once it has lastingly changed.
        """
        confirmed = 0
        if self.last is not None and not self._continues(self.last, item):
            if not self.continues_a_rival(item):
                self._rivals.clear()
            self._rivals.append(item)
            if len(self._rivals) <= min(self._support, LASTING - 1):
                return None
            self._support = confirmed = len(self._rivals) - 1
        self._rivals.clear()
        self._support += 1
        self.last = item
        return confirmed


def stretches(judged: Iterable[tuple[int, int | None]]) -> list[list[int]]:
    """Rows of a recording that stand in its series, a list for each stretch between two lasting changes.

    Parameters
    ----------
    judged : each row, with what `Majority.take` says of it.
    """
    found: list[list[int]] = []
    doubted: list[int] = []
    for row, confirmed in judged:
        if confirmed is None:
            doubted.append(row)
            continue
        if confirmed or not found:
            found.append(doubted[len(doubted) - confirmed :])
            doubted.clear()
        found[-1].append(row)
    return found
