"""Convert the weights of another project into a checkpoint.

Recognised by their content: .mat files of hloc, checkpoints of Nanne/pytorch-NetVlad, Patch-NetVLAD, the
deep-VG benchmark, OpenIBL, CosPlace, EigenPlaces, SALAD, CliqueMining, MegaLoc, BoQ and MixVPR, and AnyLoc's
cluster centres with DINOv2's own file. Nothing in the files is executed.

    netvlad import-weights Pitts30K_struct.mat --output pitts30k.safetensors
    netvlad import-weights c_centers.pt --backbone-weights dinov2_vitg14_pretrain.pth --output any.safetensors

Any network in an ONNX file that gives one vector an image is wrapped, with the preprocessing that you state;
the new file runs everywhere where a network of `netvlad export` runs:

    netvlad import-weights eigenplaces.onnx --size 480 640 --output campus.onnx
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import types
from netvlad_core.errors import NetvladError
from netvlad_core.files import check_outputs
from netvlad_core.model.preprocessing import Preprocessing
from netvlad_core.model.spec import NetworkSpec


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("file", type=types.path, metavar="WEIGHTS", help="file as the project published it")
    text = "checkpoint to write (.safetensors)"
    add("--output", type=types.output_file, required=True, metavar="FILE", help=text)
    text = "of a file without its backbone, AnyLoc's: weights of DINOv2 as published"
    add("--backbone-weights", type=types.path, metavar="FILE", help=text)
    text = "keep the first D entries of a whitened descriptor (default: all)"
    add("--dimension", type=types.at_least(1), metavar="D", help=text)
    add = command.add_argument_group("preprocessing of an ONNX file").add_argument
    text = "height and width in pixels, or the shorter side (default: the image's own size)"
    add("--size", type=types.at_least(16), nargs="+", metavar="N", help=text)
    text = "round sides to a multiple of N pixels, instead of --size"
    add("--multiple", type=types.at_least(1), metavar="N", help=text)
    text = "filter of the resizing: %(choices)s (default: %(default)s)"
    filters = ("antialias", "antialias-unrounded", "bicubic", "bilinear")
    add("--filter", choices=filters, default="antialias", metavar="F", help=text)
    text = "mean of red, green and blue, 0 to 1 (default: ImageNet's)"
    add("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406), metavar="X", help=text)
    text = "their deviation (default: ImageNet's)"
    add("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225), metavar="X", help=text)
    text = "output of the network (default: the first)"
    add("--output-name", default="", metavar="NAME", help=text)


def aggregation_of(spec: NetworkSpec) -> str:
    """For display."""
    if spec.aggregation == "netvlad":
        bias = "with" if spec.assignment_bias else "without"
        return f"NetVLAD, {spec.clusters} clusters, assignment {bias} bias"
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in spec.settings.items())
    return f"{spec.aggregation}, {settings}" if settings else spec.aggregation


def run(options: argparse.Namespace) -> None:
    if options.file.suffix == ".onnx":
        _wrap(options)
        return
    from netvlad_core.model.checkpoints import CHECKPOINT_FORMAT, save_checkpoint
    from netvlad_core.model.importers import import_weights

    check_outputs({options.output: CHECKPOINT_FORMAT}, (options.file, options.backbone_weights))
    network, project = import_weights(options.file, options.backbone_weights)
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
    print(f"  origin         {spec.origin}")
    print(f"{options.output}: model {model_id}")


def _wrap(options: argparse.Namespace) -> None:
    from netvlad_core.model.foreign import wrap_network
    from netvlad_core.model.onnx_engine import FORMAT, OnnxFacts

    if options.output.suffix != ".onnx":
        raise NetvladError(f"an ONNX file becomes one: expected --output NAME.onnx, found {options.output}")
    if options.dimension:
        raise NetvladError("--dimension is for whitened descriptors of a checkpoint, not for an ONNX file")
    check_outputs({options.output: FORMAT}, (options.file,))
    spec = wrap_network(options.file, options.output, _preprocessing(options), options.output_name)
    print(f"{options.file}: a network of {spec.dimension} dimensions")
    print(f"  preprocessing  {spec.preprocessing}")
    print(f"{options.output}: model {OnnxFacts.read(options.output).model_id}")


def _preprocessing(options: argparse.Namespace) -> Preprocessing:
    size = tuple(options.size or ())
    if options.multiple and size:
        raise NetvladError("--size and --multiple exclude each other")
    rule = ("keep", "shorter", "exact")[min(len(size), 2)]
    if options.multiple:
        rule, size = "multiple", (options.multiple,)
    mean, std = (tuple(255 * value for value in values) for values in (options.mean, options.std))
    try:
        return Preprocessing(
            rule, (options.multiple,) if options.multiple else size, mean, std, options.filter
        )
    except ValueError as error:
        raise NetvladError(f"this preprocessing is not possible: {error}") from error
