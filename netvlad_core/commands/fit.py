"""Fit the clusters of a network to the images of a drive.

With --whiten, PCA whitening is fitted too.

netvlad fit drive/ --clusters 64 --whiten 512 --output campus.safetensors
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, types
from netvlad_core.files import check_outputs


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_source(command)
    add = command.add_argument
    add("--output", type=types.output_file, required=True, metavar="FILE", help="checkpoint to write")
    arguments.add_fit(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.keyframes import default_rule, sample_frames
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT, save_checkpoint
    from netvlad_core.model.fitting import fit_network

    inputs = (options.source, options.trajectory, options.backbone_weights)
    check_outputs({options.output: CHECKPOINT_FORMAT}, inputs)
    source = arguments.open_source(options, poses_required=not options.no_poses)
    rule = default_rule(source, poses_required=not options.no_poses)
    network = fit_network(sample_frames(source, rule, not options.quiet), **arguments.fit_options(options))
    model_id = save_checkpoint(network, options.output)
    print(f"{options.output}: {network.spec.dimension} dimensions, model {model_id}")
