"""Where a run stands, in a file from which it goes on exactly as if it had not been stopped.

Everything random in training is a function of seed, epoch and image, so no random state has to be kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.files import written_whole
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_files import has_its_data, misfits, read_torch_file
from netvlad_core.training.config import TrainingConfig

# Options that may change between the parts of a run.
_FREE = ("epochs", "patience", "images_at_once", "checkpoint_steps", "workers", "device")


@dataclass
class RunState:
    """Position of a run and what it has found so far.

    Attributes
    ----------
    epoch, step, log_rows : number of epochs, steps and rows of the metrics that are done.
    log_checksum : checksum of these rows; empty in states of earlier versions.
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
    log_checksum: str = ""
    tuples: Tensor | None = None
    hardest: Tensor | None = None
    best_recall: float = -1.0
    best_epoch: int = 0
    broken: list[int] = field(default_factory=list)
    skipped: int = 0
    easy: int = 0


@dataclass(frozen=True)
class Learning:
    """The parts of a run that learn, each with a state dict."""

    network: PlaceNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def is_finite(self) -> bool:
        """Whether the weights that learn, and what the optimizer remembers of them, are numbers."""
        weights = (weight for group in self.optimizer.param_groups for weight in group["params"])
        remembered = (value for values in self.optimizer.state.values() for value in values.values())
        return all(bool(torch.isfinite(t).all()) for t in (*weights, *remembered) if isinstance(t, Tensor))

    def state(self) -> dict[str, Any]:
        """The state dict of each part by its name."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave; raises an error of any class if it is not whole or of other parts."""
        if wrong := misfits(self.network, state["network"], {}):
            raise ValueError(wrong)
        for name in ("optimizer", "scaler"):
            if _fixed_part(state[name]) != _fixed_part(getattr(self, name).state_dict()):
                raise ValueError(f"the {name} has other options")
        for name, part in vars(self).items():
            part.load_state_dict(state[name])
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if value is not None and value.shape not in (parameter.shape, ()):
                    raise ValueError(f"{name} of the optimizer has the shape {tuple(value.shape)}")
        if not self.is_finite():
            raise ValueError("the optimizer has entries that are not finite")


def _fixed_part(state: Mapping[str, Any]) -> Any:
    """What does not change during a run of the state dict of an optimizer or a scaler."""
    if "param_groups" in state:
        return [{**group, "lr": None} for group in state["param_groups"]]
    return {name: type(value) for name, value in state.items()}


def save_state(path: Path, config: TrainingConfig, data: str, progress: RunState, learning: Learning) -> None:
    """Write the state; `data` is the fingerprint of the training set.

    Raises NetvladError if it cannot be written; then the earlier one stays.
    """
    values = {"config": _fixed(config), "data": data, "progress": vars(progress), "learned": learning.state()}
    try:
        with written_whole(path) as partial, partial.open("wb") as file:
            torch.save(values, file)
    except (OSError, RuntimeError) as error:
        # With a full disk torch stumbles over its own clean-up, and hides why.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = cause.strerror if isinstance(cause, OSError) else cause
        raise NetvladError(
            f"{path} cannot be written: {reason}; the earlier state stays, from which --resume goes on"
        ) from error


def load_state(
    path: Path, config: TrainingConfig, data: str, learning: Learning, views: int, queries: int
) -> RunState:
    """Read what `save_state` has written, restore `learning` from it, and return the progress of the run.

    Raises CheckpointError if the file is damaged, or of other options or data.

    Parameters
    ----------
    data : fingerprint of the training set.
    views, queries : numbers of images in the set, and of those that are queries.
    """
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume: {path} does not exist; start without --resume")
    try:
        values = copy.deepcopy(read_torch_file(path))  # the file itself may change
        then, then_data = dict(values["config"]), values["data"]
    except Exception as error:  # what is not as written fails in many ways
        raise CheckpointError(_damaged(path, error)) from error
    now = _fixed(config)
    if changed := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
        differences = ", ".join(f"{name} was {then.get(name)!r}, is {now.get(name)!r}" for name in changed)
        raise CheckpointError(f"{path} is of a run with other options: {differences}; start without --resume")
    if then_data != data:
        raise CheckpointError(f"{path} is of a run on other images or positions; start without --resume")
    try:
        progress = _checked(values["progress"], config, views, queries)
        learning.restore(values["learned"])
    except Exception as error:  # each part has errors of its own
        raise CheckpointError(_damaged(path, error)) from error
    return progress


def _checked(values: Mapping[str, Any], config: TrainingConfig, views: int, queries: int) -> RunState:
    """Progress of a run with this configuration and number of images; raises an error if it cannot be."""
    values = {"log_checksum": "", **values}
    progress = RunState(**{name: values[name] for name in vars(RunState())})
    for name in ("epoch", "interval", "batch", "step", "log_rows", "best_epoch", "skipped", "easy"):
        if type(number := getattr(progress, name)) is not int or number < 0:
            raise ValueError(f"{name} is {number!r}")
    if type(progress.log_checksum) is not str:
        raise ValueError(f"log_checksum is {progress.log_checksum!r}")
    if type(progress.best_recall) is not float or not -1 <= progress.best_recall <= 1:
        raise ValueError(f"best_recall is {progress.best_recall!r}")
    tuples, hardest, broken = progress.tuples, progress.hardest, torch.tensor(progress.broken).long()
    if tuples is not None and not _are_rows(tuples, (len(tuples), 2 + config.negatives), views):
        raise ValueError(f"tuples are not rows of {views} images")
    if hardest is not None and not _are_rows(hardest, (queries, config.hard_negatives), views):
        raise ValueError(f"hardest negatives are not rows of {views} images for each of {queries} queries")
    if not _are_rows(broken, (len(progress.broken),), views):
        raise ValueError(f"broken images are not rows of {views} images")
    return progress


def _are_rows(found: Tensor, shape: tuple[int, ...], views: int) -> bool:
    if found.dtype != torch.int64 or found.shape != shape or not has_its_data(found):
        return False
    return not ((found < -1) | (found >= views)).any()


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).removeprefix(f"{path} ") if isinstance(error, NetvladError) else repr(error)
    return f"{path} is damaged: {reason}; start anew without --resume, in another folder"


def _fixed(config: TrainingConfig) -> dict[str, Any]:
    options = asdict(config).items()
    return {n: list(v) if isinstance(v, tuple) else v for n, v in options if n not in _FREE}
