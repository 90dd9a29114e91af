"""`netvlad train`: learn descriptors from drives with poses, or from places with labels."""

from __future__ import annotations

import argparse
import os
import sys

from netvlad_core.commands.common import path

SUMMARY = "train a network on drives with poses"
REMARK = "Options are in a TOML file, see docs/training.md; under torchrun, on several GPUs."
EXAMPLE = "netvlad train --config campus.toml --output runs/campus"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=path, required=True, metavar="FILE", help="TOML file of options")
    command.add_argument(
        "--output",
        type=path,
        metavar="DIR",
        help="folder for checkpoints and metrics (default: the name of FILE without its suffix)",
    )
    command.add_argument("--resume", action="store_true", help="go on with the run in DIR, exactly")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> None:
    from netvlad_core.training.config import TrainingConfig
    from netvlad_core.training.run import train

    config = TrainingConfig.from_toml(options.config)
    folder = options.output or options.config.with_suffix("")
    try:
        train(config, folder, options.resume, not options.quiet)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print("\nthe same command with --resume continues where this one stopped", file=sys.stderr)
        raise
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # All is written. Now and then a thread of the communication outlives the interpreter and aborts the
        # process at its very end, for which torchrun would call the whole run a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
