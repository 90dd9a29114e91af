"""`netvlad fit`: a network whose clusters, and whitening, fit a drive."""

from __future__ import annotations

import argparse

from netvlad_core.commands.common import add_fit, add_source, fit_options, open_source, output_file
from netvlad_core.commands.outputs import check_outputs

SUMMARY = "fit clusters, and whitening, on the images of a drive"
REMARK = ""
EXAMPLE = "netvlad fit drive/ --clusters 64 --whiten 512 --output campus.safetensors"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_source(command)
    command.add_argument(
        "--output", type=output_file, required=True, metavar="FILE", help="checkpoint to write"
    )
    command.add_argument("--no-poses", action="store_true", help="accept a drive without poses")
    add_fit(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.keyframes import default_rule, sample_frames
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT, save_checkpoint
    from netvlad_core.model.fitting import fit_network

    check_outputs(
        {options.output: CHECKPOINT_FORMAT}, (options.source, options.trajectory, options.backbone_weights)
    )
    source = open_source(options, poses_required=not options.no_poses)
    rule = default_rule(source, poses_required=not options.no_poses)
    network = fit_network(sample_frames(source, rule, not options.quiet), **fit_options(options))
    model_id = save_checkpoint(network, options.output)
    print(f"{options.output}: {network.spec.dimension} dimensions, model {model_id}")
