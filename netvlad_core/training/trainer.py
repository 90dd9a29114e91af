"""The training loop: mine, step, halve the learning rate, validate, keep the best."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.progress import bar
from netvlad_core.training.batches import Batch, place_batches, tuple_batches
from netvlad_core.training.cache import DescriptorCache
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.gradients import Gradients
from netvlad_core.training.loading import Loader
from netvlad_core.training.metrics import Metrics
from netvlad_core.training.mining import Miner
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.processes import Processes
from netvlad_core.training.state import Learning, RunState, load_state, save_state
from netvlad_core.training.validation import Validation

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"


@dataclass(frozen=True)
class Run:
    """Folder and processes of a run, whether it shows bars, and how it reports."""

    folder: Path
    processes: Processes
    progress: bool = True
    say: Callable[[str], None] = print


class Trainer:
    """Trains a network on a set; `train` in `run.py` puts its parts together.

    Parameters
    ----------
    network : changed in place.
    validation : None if there is nothing to validate on.
    resume : continue the run in the folder.

    Attributes
    ----------
    views : images that it trains on.
    progress : position of the run.
    """

    def __init__(
        self,
        network: PlaceNetwork,
        training_set: TrainingSet,
        validation: Validation | None,
        config: TrainingConfig,
        run: Run,
        resume: bool = False,
    ) -> None:
        self._config, self._run, self._validation = config, run, validation
        self._set, self._network = training_set, network
        self.views = training_set.views
        parameters = train_only(network, config.trainable)
        self._extractor = Extractor.of(network, str(run.processes.device), precision=config.precision)
        self._optimizer = _optimizer(parameters, config)
        is_half = config.precision == "float16"
        self._scaler = torch.amp.GradScaler(run.processes.device.type, enabled=is_half)
        self._learning = Learning(network, self._optimizer, self._scaler)
        self._gradients = Gradients(network, parameters, config, run.processes, run.say)
        self._loader = Loader(self.views, config, run.processes)
        self._miner = Miner(training_set, config)
        shape = (len(self.views), network.spec.dimension)
        self._cache = DescriptorCache(run.folder / "descriptors", shape, config.cache_type)
        self._data = _fingerprint(training_set)
        self.progress = RunState()
        if resume:
            state = run.folder / STATE
            counts = len(self.views), len(training_set.queries)
            self.progress = load_state(state, config, self._data, self._learning, *counts)
            if self.progress.hardest is not None:
                self._miner.hardest = self.progress.hardest.numpy()
        self._metrics: Metrics | None = None
        if run.processes.is_first:
            self._metrics = Metrics(run.folder, self.progress.log_rows, self.progress.log_checksum, run.say)

    def train(self) -> RunState:
        """Run to the end; returns what was reached."""
        progress = self.progress
        if self._validation is not None and progress.best_recall < 0:
            self._validate()
        while progress.epoch < self._config.epochs and not self._is_tired():
            self._train_epoch()
            progress.epoch, progress.interval = progress.epoch + 1, 0
            self._validate()
            self._save()
        return progress

    def _train_epoch(self) -> None:
        progress, config = self.progress, self._config
        halvings = progress.epoch // config.halving_epochs
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5**halvings
        intervals = self._intervals(config.cache_interval * 2**halvings)
        total = sum(map(len, intervals))
        done = sum(map(len, intervals[: progress.interval]))
        title = f"epoch {progress.epoch + 1}/{config.epochs}"
        with bar(title=title, total=total, unit="query", show=self._run.progress, done=done) as shown:
            for queries in intervals[progress.interval :]:
                batches = self._batches(queries)
                for share in self._steps(batches):
                    shown.update(done + round(share * len(queries)) - shown.n)
                done += len(queries)
                shown.update(done - shown.n)
                progress.interval, progress.batch, progress.tuples = progress.interval + 1, 0, None

    def _intervals(self, size: int) -> list[np.ndarray]:
        """Queries of this epoch at random, cut at each refresh of the cache; all at once without a cache."""
        random = np.random.default_rng([self._config.seed, self.progress.epoch])
        order = random.permutation(len(self._set.queries))
        if self._config.loss != "triplet":
            return [order]
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _batches(self, queries: np.ndarray) -> list[Batch]:
        if self._config.loss != "triplet":
            return list(place_batches(self._set, self._config, self.progress.epoch))
        if self.progress.tuples is None:
            self._mine(queries)
        assert self.progress.tuples is not None
        return tuple_batches(self.progress.tuples.numpy(), self._config.batch_size)

    def _mine(self, queries: np.ndarray) -> None:
        """Refresh the cache and mine; a run that is killed here does it again, from the same state."""
        progress = self.progress
        self._save()
        rows = np.union1d(self._set.database, self._set.queries[queries])
        run = self._run
        broken = self._cache.refresh(self._extractor, self.views, rows, run.processes, run.progress)
        progress.broken = sorted({*progress.broken, *broken.tolist()})
        mined = self._miner.mine(self._cache.open(), queries, progress.epoch, run.processes)
        progress.tuples = torch.from_numpy(mined.tuples)
        progress.hardest = torch.from_numpy(self._miner.hardest)
        progress.easy += mined.easy
        progress.skipped += mined.broken
        self._save()

    def _steps(self, batches: list[Batch]) -> Iterator[float]:
        """Make a step for each batch that is left of the interval; yield the share of the interval done."""
        progress, config = self.progress, self._config
        for batch, images, broken in self._loader.load(batches[progress.batch :], progress.epoch):
            before = batches[progress.batch]
            progress.batch += 1
            if len(broken):
                progress.broken = sorted({*progress.broken, *broken.tolist()})
                progress.skipped += before.size - batch.size
            if batch.size:
                loss, count = self._gradients.compute(batch, images, self._scaler.scale)
                self._scaler.step(self._optimizer)
                self._scaler.update()
                progress.step += 1
                if not (math.isfinite(loss) and self._learning.is_finite()):
                    raise NetvladError(_not_finite(loss, progress))
                values = {"epoch": progress.epoch + 1, "loss": loss, "violating": count, "tuples": batch.size}
                self._log({**values, "learning_rate": self._optimizer.param_groups[0]["lr"]})
                if progress.step % config.checkpoint_steps == 0:
                    self._save()
            yield progress.batch / len(batches)

    def _validate(self) -> None:
        """Measure, and keep what is the best so far and the last; what is not measured is always the best."""
        progress, metrics = self.progress, self._metrics
        recall = {}
        if self._validation is not None:
            recall = self._validation.recall(self._extractor, self._run.processes, self._run.progress)
        is_best = not recall or recall[5] > progress.best_recall
        if is_best:
            progress.best_recall, progress.best_epoch = recall.get(5, -1.0), progress.epoch
        if metrics is None:
            return
        for name in [LAST, *([BEST] if is_best else [])]:
            save_checkpoint(self._network, self._run.folder / name)
        if recall:
            self._log({"epoch": progress.epoch, **{f"recall@{n}": share for n, share in recall.items()}})
        metrics.draw()
        shares = ", ".join(f"Recall@{n} {100 * share:.1f} %" for n, share in recall.items())
        when = f"epoch {progress.epoch}, step {progress.step}" if progress.epoch else "before training"
        self._run.say(f"{when}: {shares or 'not validated'}")

    def _is_tired(self) -> bool:
        waited, patience = self.progress.epoch - self.progress.best_epoch, self._config.patience
        return self._validation is not None and 0 < patience <= waited

    def _log(self, values: dict[str, float]) -> None:
        if self._metrics is not None:
            self._metrics.add({"step": self.progress.step, **values})
            self.progress.log_rows, self.progress.log_checksum = self._metrics.rows, self._metrics.checksum

    def _save(self) -> None:
        if self._run.processes.is_first:
            state = self._run.folder / STATE
            save_state(state, self._config, self._data, self.progress, self._learning)


def train_only(network: PlaceNetwork, trainable: str | int) -> list[nn.Parameter]:
    """Let a part of the network learn and freeze the rest.

    `trainable` is "head" (all behind the backbone), "all", or the number of last blocks of the backbone that
    learn with the head. With VGG16, 3 is the paper's "from conv5_1 up". Raises NetvladError if there are
    fewer blocks, or nothing learns.
    """
    network.requires_grad_(trainable == "all")
    network.aggregation.requires_grad_(True)
    network.whitening.requires_grad_(True)
    if isinstance(trainable, int) and trainable:
        found = blocks(network.backbone)
        if trainable > len(found):
            raise NetvladError(
                f"trainable is {trainable}, but the backbone {network.spec.backbone} has {len(found)} blocks"
            )
        for block in found[-trainable:]:
            block.requires_grad_(True)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not learning:
        raise NetvladError(
            f"{network.spec.aggregation} has no weights and the backbone is frozen: set trainable to the "
            "number of its last blocks that shall learn, or to all"
        )
    return learning


def blocks(module: nn.Module) -> list[nn.Module]:
    """Parts with weights, in their order; plain sequences are replaced by their parts."""
    found: list[nn.Module] = []
    for part in module.children():
        if type(part) in (nn.Sequential, nn.ModuleList):
            found += blocks(part)
        elif any(True for _ in part.parameters()):
            found.append(part)
    return found


def _optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)


def _not_finite(loss: float, progress: RunState) -> str:
    what = "weights" if math.isfinite(loss) else f"loss ({loss})"
    return (
        f"the {what} of step {progress.step} cannot be learnt from, not being finite: the learning rate is "
        f"too high, or the precision too low. {BEST} is from before; begin a new run with a lower "
        f"learning_rate, or in float32, from scratch or with {BEST} as its weights"
    )


def _fingerprint(training_set: TrainingSet) -> str:
    """Changes with the images' names and places and with who is a query."""
    digest = hashlib.sha256("\n".join(frame.name for frame in training_set.views.frames).encode())
    for array in (training_set.views.positions, training_set.queries):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
