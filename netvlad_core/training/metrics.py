"""What a run writes down: a table, curves and, if TensorBoard is installed, its files."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any

from netvlad_core.files import written_whole

RECALL_AT = (1, 5, 10)
COLUMNS = (
    "step", "epoch", "loss", "violating", "tuples", "learning_rate", *(f"recall@{n}" for n in RECALL_AT)
)  # fmt: skip

_HEAD = ",".join(COLUMNS)
_MOST = 1e30  # no step, loss or share is larger, and what is cannot be drawn


class Metrics:
    """Writer of `metrics.csv`, one row a step and one a validation, and `curves.png`.

    Attributes
    ----------
    rows : number of rows so far.
    """

    def __init__(self, folder: Path, rows: int, checksum: str, say: Callable[[str], None]) -> None:
        """Go on after `rows` rows; later ones belong to steps that are done again, and are dropped.

        Parameters
        ----------
        checksum : of these rows, to say if they are others now; empty if it is not known.
        """
        self._path = folder / "metrics.csv"
        kept = _whole_rows(self._path)[:rows]
        self._sum = hashlib.sha256("".join(f"{row}\n" for row in kept).encode())
        if len(kept) < rows:
            say(f"{self._path} has only {len(kept)} of its {rows} rows left; table and curves lack the rest")
        elif checksum not in ("", self.checksum):
            say(f"{self._path} is not as this run has written it; its rows are kept as they are now")
        with written_whole(self._path) as partial:
            partial.write_text("\n".join([_HEAD, *kept]) + "\n")
        self.rows = len(kept)
        last_step = int(kept[-1].partition(",")[0]) if kept else 0
        self._board: Any = None
        if find_spec("tensorboard") is None:
            say("tensorboard is not installed: metrics go to metrics.csv and curves.png only")
        else:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=last_step + 1)

    def add(self, values: Mapping[str, Any]) -> None:
        """Append a row; columns without a value stay empty."""
        with StringIO() as line:
            csv.DictWriter(line, COLUMNS, lineterminator="\n").writerow(values)
            row = line.getvalue()
        with self._path.open("a", newline="") as file:
            file.write(row)
        self._sum.update(row.encode())
        self.rows += 1
        if self._board is not None:
            for name, value in values.items():
                if name not in ("step", "epoch", "tuples"):
                    self._board.add_scalar(name, value, values["step"])

    @property
    def checksum(self) -> str:
        """sha256 of the rows so far, hexadecimal."""
        return self._sum.hexdigest()

    def draw(self) -> None:
        """Paint loss and recall over the steps."""
        from matplotlib.figure import Figure

        with self._path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        figure = Figure(figsize=(8, 6), layout="constrained")
        loss, recall = figure.subplots(2, 1, sharex=True)
        steps = [row for row in rows if row["loss"]]
        loss.plot([int(row["step"]) for row in steps], [float(row["loss"]) for row in steps], linewidth=0.8)
        loss.set_ylabel("loss")
        validations = [row for row in rows if row["recall@1"]]
        for n in RECALL_AT:
            shares = [100 * float(row[f"recall@{n}"]) for row in validations]
            recall.plot([int(row["step"]) for row in validations], shares, "o-", label=f"Recall@{n}")
        recall.set(xlabel="step", ylabel="validation recall, %", ylim=(0, 100))
        recall.legend(loc="lower right")
        for axes in (loss, recall):
            axes.grid(alpha=0.3)
        figure.savefig(self._path.with_name("curves.png"), dpi=120)


def _whole_rows(path: Path) -> list[str]:
    """Lines of a table up to the first that is no row of it; none if there is no such table."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return list(takewhile(_is_row, lines[1:])) if lines[:1] == [_HEAD] else []


def _is_row(line: str) -> bool:
    values = line.split(",")
    try:
        numbers = [int(values[0]), *(float(value) for value in values if value)]
    except ValueError:
        return False
    return len(values) == len(COLUMNS) and all(abs(number) < _MOST for number in numbers)
