"""Memory and time of a drive's descriptors in float16, against the same rows in float32.

For each new keyframe the loop closer compares it with all others: with those of the drive, which are whole,
and with those of an earlier map, as that stores them. Both kinds take turns.
"""

from __future__ import annotations

import numpy as np

from benchmarks._measure import all_seconds, parser, print_conditions, print_table
from netvlad_core.localization.loops.drive_rows import half_products
from netvlad_core.mapping.projection import STORED_DIMENSION

_BLOCK = 1000


def descriptors(count: int, dimension: int) -> np.ndarray:
    """Unit vectors (N, D) float16 in random directions."""
    rng, rows = np.random.default_rng(0), np.empty((count, dimension), np.float16)
    for start in range(0, count, _BLOCK):
        block = rng.standard_normal((min(_BLOCK, count - start), dimension), np.float32)
        rows[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def measure(kind: str, count: int, dimension: int, rounds: int) -> list[str]:
    half = descriptors(count, dimension)
    whole, query = half.astype(np.float32), half[0].astype(np.float32)
    times = all_seconds({"half": lambda: half_products(half, query), "whole": lambda: whole @ query}, rounds)
    error = float(np.abs(half_products(half, query) - whole @ query).max())
    ms = {name: 1e3 * float(np.median(seconds)) for name, seconds in times.items()}
    sizes = [f"{rows.nbytes / 1e6:.0f}" for rows in (whole, half)]
    ratio = f"{ms['half'] / ms['whole']:.2f}"
    return [
        kind,
        f"{count}",
        f"{dimension}",
        *sizes,
        f"{ms['whole']:.1f}",
        f"{ms['half']:.1f}",
        ratio,
        f"{error:.0e}",
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    print_conditions()
    header = [
        "rows",
        "number",
        "dimensions",
        "MB in float32",
        "MB in float16",
        "ms",
        "ms",
        "ratio",
        "difference",
    ]
    kinds = (("of the drive", 20_000, 7168), ("of an earlier map", 100_000, STORED_DIMENSION))
    print_table(header, [measure(*kind, rounds) for kind in kinds])


if __name__ == "__main__":
    main()
