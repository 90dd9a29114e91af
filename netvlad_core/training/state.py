"""Where a run stands, in a file from which it goes on exactly as if it had not been stopped.

Everything random in training is a function of seed, epoch and image, so no random state has to be kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netvlad_core.errors import CheckpointError
from netvlad_core.files import written_whole
from netvlad_core.training.config import TrainingConfig

# Options that may change between the parts of a run.
_FREE = ("epochs", "patience", "images_at_once", "checkpoint_steps", "workers", "device")


@dataclass
class RunState:
    """Position of a run and what it has found so far.

    Attributes
    ----------
    epoch, step, log_rows : number of epochs, steps and rows of the metrics that are done.
    interval, batch : next interval between refreshes of the cache, and next batch in it.
    tuples : (T, n) int64, mined for this interval; None before the mining.
    hardest : (Q, n) int64, hardest negatives of each query; None before the first mining.
    best_recall, best_epoch : Recall@5 of the validation, -1 before it, and the epochs it took; 0: untrained.
    broken : rows of the views that could not be read.
    skipped, easy : number of tuples left out for a broken image, and of queries without violating negatives.
    """

    epoch: int = 0
    interval: int = 0
    batch: int = 0
    step: int = 0
    log_rows: int = 0
    tuples: Tensor | None = None
    hardest: Tensor | None = None
    best_recall: float = -1.0
    best_epoch: int = 0
    broken: list[int] = field(default_factory=list)
    skipped: int = 0
    easy: int = 0


def save_state(path: Path, config: TrainingConfig, data: str, progress: RunState, learned: Any) -> None:
    """Write the state; `data` is the fingerprint of the training set, `learned` has state dicts by name."""
    values = {"config": _fixed(config), "data": data, "progress": vars(progress), "learned": learned}
    with written_whole(path) as partial:
        torch.save(values, partial)


def load_state(path: Path, config: TrainingConfig, data: str) -> tuple[RunState, Any]:
    """Read what `save_state` wrote; raises CheckpointError if it is damaged, or of other options or data."""
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume: {path} does not exist; start without --resume")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        progress, learned = RunState(**values["progress"]), values["learned"]
        then, then_data = values["config"], values["data"]
    except Exception as error:  # torch raises a different class for each way in which a file can be broken
        raise CheckpointError(f"{path} is damaged: {error}; start anew without --resume") from error
    now = _fixed(config)
    if changed := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
        differences = ", ".join(f"{name} was {then.get(name)!r}, is {now.get(name)!r}" for name in changed)
        raise CheckpointError(f"{path} is of a run with other options: {differences}; start without --resume")
    if then_data != data:
        raise CheckpointError(f"{path} is of a run on other images or positions; start without --resume")
    return progress, learned


def _fixed(config: TrainingConfig) -> dict[str, Any]:
    options = asdict(config).items()
    return {n: list(v) if isinstance(v, tuple) else v for n, v in options if n not in _FREE}
