"""What the benchmarks share: fair timing, peak memory and tables."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from netvlad_core.evaluation.precision_recall import PrecisionRecall


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of a benchmark, whose description keeps its lines."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def median_seconds(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall-clock time of each call, as `all_seconds` measures it."""
    return {name: statistics.median(times) for name, times in all_seconds(calls, rounds).items()}


def all_seconds(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Wall-clock time of each call in each round.

    The calls take turns, round by round after a round to warm up, so that other work on the machine slows all
    of them and leaves their ratios alone.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def peak_megabytes(pid: int | str = "self") -> float:
    """Largest resident memory of a process so far (Linux); 0 once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def print_conditions() -> None:
    """One line on what the figures depend on."""
    load = os.getloadavg()[0]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {load:.1f}\n", flush=True
    )


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(table(header, rows), flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    texts = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts)]
    lines = []
    for number, row in enumerate(texts):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            lines.append("| " + " | ".join(rules) + " |")
    return "\n".join(lines)


def draw_curves(curves: Mapping[str, Mapping[str, PrecisionRecall]], path: Path) -> None:
    """Precision over recall: a panel for each drive, a line for each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(curves), 3.6), dpi=110, layout="constrained")
    for axes, (drive, lines) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        for (method, curve), style in zip(lines.items(), (":", "-", "--", "-")):
            axes.plot(curve.recall, curve.precision, style, label=method)
        axes.set(title=drive, xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    figure.savefig(path)
