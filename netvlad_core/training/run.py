"""A whole training run, from a configuration to checkpoints."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.data.sources import SourceOptions
from netvlad_core.errors import ImageError, NetvladError
from netvlad_core.files import sole_writer, written_whole
from netvlad_core.mapping.keyframes import step_of
from netvlad_core.model.backbones import network_file
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.processes import Processes
from netvlad_core.training.sources import read_views
from netvlad_core.training.state import RunState
from netvlad_core.training.trainer import BEST, LAST, STATE, Run, Trainer
from netvlad_core.training.validation import Validation
from netvlad_core.training.views import Views

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def train(
    config: TrainingConfig,
    folder: Path,
    resume: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> RunState:
    """Train a network; under torchrun every process calls this alike.

    Parameters
    ----------
    folder : gets `best.safetensors`, `last.safetensors`, `state.pt`, `metrics.csv`, `curves.png`,
        `config.json` and what the run works with.
    resume : go on with the run in the folder, to the same end as if it had never stopped.
    say : called with each line of the report, in the first process only.

    Raises
    ------
    SourceError
        If the images, positions or labels leave nothing to learn from.
    CheckpointError
        If weights or state cannot be read.
    NetvladError
        If the folder holds a run already, which is not to be resumed, another program trains in it, or memory
        does not suffice.
    """
    processes = Processes(config.device)
    is_first = processes.is_first
    run = Run(folder, processes, progress and is_first, say if is_first else lambda _: None)
    try:
        with sole_writer(folder) if is_first else nullcontext():
            if not resume and (folder / STATE).exists():
                raise NetvladError(
                    f"{folder} holds a run already: --resume goes on with it, or choose another"
                )
            folder.mkdir(parents=True, exist_ok=True)
            if processes.count > 1:
                run.say(f"{processes.count} processes, this one on {processes.device}")
            trainer = _prepare(config, run, resume)
            reached = trainer.train()
            _report(reached, trainer.views, run)
            return reached
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise NetvladError(
            f"{folder} cannot be written: {error.strerror}; make room, and go on from the last state "
            "with --resume"
        ) from error
    finally:
        processes.close()


def _prepare(config: TrainingConfig, run: Run, resume: bool) -> Trainer:
    if not run.processes.is_first:
        run.processes.wait()
    database, queries = _read("", config, run)
    places, asked = _read("validation_", config, run)
    if run.processes.is_first:
        with written_whole(run.folder / "config.json") as partial:
            partial.write_text(json.dumps(asdict(config), indent=2) + "\n")
        run.processes.wait()  # the keyframes of bags are files now, which the others read
    if database is None:
        raise NetvladError('nothing to train on: name bags, catalogues or folders as database = ["..."]')
    training_set = TrainingSet.build(database, queries, config)
    run.say(
        f"{len(training_set.database)} database images, {len(training_set.queries)} queries; "
        f"{training_set.without_positive} more have no positive and are left out"
    )
    validation = None
    if places is not None:
        validation = Validation(places, asked, config, run.folder)
        run.say(f"validation: Recall@N of all {validation.queries} queries")
    else:
        run.say("no validation_database: nothing is validated, and the last epoch counts as the best")
    network = _initial_network(config, database, run)
    return Trainer(network, training_set, validation, config, run, resume)


def _read(prefix: str, config: TrainingConfig, run: Run) -> tuple[Views | None, Views | None]:
    """Database and queries for training (no prefix) or validation; None if there are none."""
    if collection := getattr(config, f"{prefix}collection"):
        places = open_place_set(collection, getattr(config, f"{prefix}split") or None)
        queries = Views.of_images(places.queries) if len(places.queries) else None
        return Views.of_images(places.database), queries
    topics = SourceOptions(image_topic=config.image_topic or None, pose_topic=config.pose_topic or None)
    work, is_first = run.folder / "keyframes", run.processes.is_first
    database, queries = (
        read_views(paths, topics, work, is_first, run.progress) if paths else None
        for paths in (getattr(config, f"{prefix}database"), getattr(config, f"{prefix}queries"))
    )
    return database, queries


def _initial_network(config: TrainingConfig, database: Views, run: Run) -> PlaceNetwork:
    """The configured checkpoint, or clusters fitted on the database and kept as `initial.safetensors`."""
    if config.weights:
        return load_checkpoint(network_file(config.weights))
    path = run.folder / "initial.safetensors"
    if run.processes.is_first and not path.is_file():
        network = fit_network(
            lambda: _sample(database),
            NetworkSpec.of_backbone(
                config.backbone, clusters=config.clusters, aggregation=config.aggregation
            ),
            Path(config.backbone_weights) if config.backbone_weights else None,
            config.seed,
            str(run.processes.device),
        )
        save_checkpoint(network.cpu(), path)
    run.processes.wait()
    return load_checkpoint(path)


def _sample(views: Views) -> Iterator[np.ndarray]:
    """Images evenly spread over the database; one that cannot be read is counted when it is described."""
    for row in range(0, len(views), step_of(len(views))):
        with suppress(ImageError):
            yield views.read(row)


def _report(reached: RunState, views: Views, run: Run) -> None:
    if reached.broken:
        names = ", ".join(views.frames[row].name for row in reached.broken[:5])
        more = ", ..." if len(reached.broken) > 5 else ""
        run.say(
            f"{len(reached.broken)} images could not be read ({names}{more}); "
            f"{reached.skipped} tuples or images of batches were left out for that"
        )
    if reached.easy:
        run.say(f"{reached.easy} times a query had no negative within the margin and taught nothing")
    run.say(
        f"{run.folder / BEST}: after epoch {reached.best_epoch} of {reached.epoch}, {reached.step} steps; "
        f"{run.folder / LAST}: the last"
    )
