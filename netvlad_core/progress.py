"""One progress bar for all long work: what is done, how fast, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


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
    return tqdm(
        items,
        title,
        total,
        unit=unit,
        unit_scale=unit == "B",
        initial=done,
        disable=hidden,
        dynamic_ncols=True,
    )
