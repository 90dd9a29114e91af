"""Train a network on drives with poses or on labelled places.

The options are in a TOML file, see docs/training.md. Under torchrun the command uses several GPUs.

    netvlad train --config campus.toml --output runs/campus
"""

from __future__ import annotations

import argparse
import os
import sys

from netvlad_core.commands import types
from netvlad_core.files import check_outputs


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--config", type=types.path, required=True, metavar="FILE", help="TOML file with the options")
    text = "folder for checkpoints and metrics (default: the name of FILE without its suffix)"
    add("--output", type=types.path, metavar="DIR", help=text)
    add("--resume", action="store_true", help="continue the run in DIR as if it had never stopped")
    add("--quiet", action="store_true", help="show no progress bar")


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT
    from netvlad_core.training.config import TrainingConfig
    from netvlad_core.training.run import train
    from netvlad_core.training.trainer import BEST, LAST

    config = TrainingConfig.from_toml(options.config)
    folder = options.output or options.config.with_suffix("")
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first:
        marks = {"config.json": '"positive_radius"', "metrics.csv": "step,epoch,loss"}
        marks |= {BEST: CHECKPOINT_FORMAT, LAST: CHECKPOINT_FORMAT}
        check_outputs({folder / name: mark for name, mark in marks.items()}, (options.config,))
    try:
        train(config, folder, options.resume, not options.quiet)
    except KeyboardInterrupt:
        if is_first:
            print("\nthe same command with --resume continues where this one stopped", file=sys.stderr)
        raise
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # All files are written. Sometimes a communication thread outlives the interpreter and aborts the
        # process at its end, which torchrun reports as a failed run.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
