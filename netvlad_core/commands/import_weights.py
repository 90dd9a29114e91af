"""`netvlad import-weights`: weights of other projects become checkpoints."""

from __future__ import annotations

import argparse

from netvlad_core.commands.common import at_least, output_file, path
from netvlad_core.commands.outputs import check_outputs

SUMMARY = "convert weights of another project"
REMARK = (
    "Recognises by their content: hloc's .mat files, checkpoints of Nanne/pytorch-NetVlad, Patch-NetVLAD, "
    "the deep-VG benchmark and OpenIBL. Nothing in the file is executed."
)
EXAMPLE = "netvlad import-weights Pitts30K_struct.mat --output pitts30k.safetensors --dimension 512"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=path, metavar="FILE", help="weights as the project has published them")
    command.add_argument(
        "--output", type=output_file, required=True, metavar="NAME", help="checkpoint to write (.safetensors)"
    )
    command.add_argument(
        "--dimension",
        type=at_least(1),
        metavar="D",
        help="crop a whitened descriptor to its first D entries (default: all)",
    )


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT, save_checkpoint
    from netvlad_core.model.importers import import_weights

    check_outputs({options.output: CHECKPOINT_FORMAT}, (options.file,))
    imported = import_weights(options.file)
    network = imported.network
    if options.dimension:
        network = network.crop(options.dimension)
    model_id = save_checkpoint(network, options.output)
    spec = network.spec
    print(f"{options.file}: {imported.layout}")
    print(f"  backbone       {spec.backbone}")
    print(
        f"  clusters       {spec.clusters}, assignment {'with' if spec.assignment_bias else 'without'} bias"
    )
    print(f"  whitening      {'to ' + str(spec.whitened_dimension) if spec.whitened_dimension else 'none'}")
    print(f"  dimension      {spec.dimension}")
    print(f"  preprocessing  {spec.preprocessing}")
    print(f"{options.output}: model {model_id}")
