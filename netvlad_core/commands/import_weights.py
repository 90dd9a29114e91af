"""Convert the weights of another project into a checkpoint.

Recognised by their content: .mat files of hloc, checkpoints of Nanne/pytorch-NetVlad, Patch-NetVLAD, the
deep-VG benchmark, OpenIBL, CosPlace, EigenPlaces, SALAD, MegaLoc and BoQ. Nothing in the file is executed.

    netvlad import-weights Pitts30K_struct.mat --output pitts30k.safetensors
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import common
from netvlad_core.files import check_outputs
from netvlad_core.model.spec import NetworkSpec


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("file", type=common.path, metavar="WEIGHTS", help="file as the project published it")
    text = "checkpoint to write (.safetensors)"
    add("--output", type=common.output_file, required=True, metavar="FILE", help=text)
    text = "keep the first D entries of a whitened descriptor (default: all)"
    add("--dimension", type=common.at_least(1), metavar="D", help=text)


def aggregation_of(spec: NetworkSpec) -> str:
    """For display."""
    if spec.aggregation == "netvlad":
        bias = "with" if spec.assignment_bias else "without"
        return f"NetVLAD, {spec.clusters} clusters, assignment {bias} bias"
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in spec.settings.items())
    return f"{spec.aggregation}, {settings}" if settings else spec.aggregation


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT, save_checkpoint
    from netvlad_core.model.importers import import_weights

    check_outputs({options.output: CHECKPOINT_FORMAT}, (options.file,))
    network, project = import_weights(options.file)
    if options.dimension:
        network = network.crop(options.dimension)
    model_id = save_checkpoint(network, options.output)
    spec = network.spec
    print(f"{options.file}: {project}")
    print(f"  backbone       {spec.backbone}")
    print(f"  aggregation    {aggregation_of(spec)}")
    print(f"  whitening      {f'to {spec.whitened_dimension}' if spec.whitened_dimension else 'none'}")
    print(f"  dimension      {spec.dimension}")
    print(f"  preprocessing  {spec.preprocessing}")
    print(f"{options.output}: model {model_id}")
