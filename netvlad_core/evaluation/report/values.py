"""Numbers for the page: rounded, and None where there is none, since JSON has no NaN."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def rounded(value: float | None, digits: int) -> float | None:
    """The number with a few decimals; None for None, NaN and infinity."""
    if value is None or not np.isfinite(value):
        return None
    return round(float(value), digits)


def all_rounded(values: Iterable[float], digits: int) -> list[float | None]:
    """Each of the numbers as `rounded` gives it."""
    return [rounded(value, digits) for value in values]


def metres(position: np.ndarray) -> list[float] | None:
    """x and y of a position in centimetres; None if one is unknown."""
    x, y = all_rounded(position[:2], 2)
    return None if x is None or y is None else [x, y]


def histogram(values: np.ndarray, bins: int = 24) -> dict[str, object] | None:
    """Counts between round edges; what is far out of the ordinary goes to the last bin.

    Returns
    -------
    `edges` (B + 1) and `counts` (B); `is_open` says that the last bin has no upper end. None for no values.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    usual = float(np.quantile(values, 0.99)) or 1.0
    step = _round_up(usual / bins)
    count = int(np.floor(usual / step)) + 1
    edges = step * np.arange(count + 1)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    return {
        "edges": all_rounded(edges, 6),
        "counts": counts.tolist(),
        "is_open": bool(values.max() > edges[-1]),
    }


def _round_up(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power = 10.0 ** np.floor(np.log10(max(step, 1e-9)))
    return float(power * next(factor for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9)))
