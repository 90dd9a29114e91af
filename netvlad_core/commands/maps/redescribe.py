"""Describe the images of a map anew by another network; places, poses and sessions stay.

Without --weights the clusters of the package's network are fitted to the images of the map, and the new map
contains the result, as with `netvlad build-map`. A run that was stopped continues.

    netvlad map redescribe maps/campus --weights better.safetensors --output maps/campus_2
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_output_map(command)
    add = command.add_argument
    text = "checkpoint or ONNX file, or `packaged` for the package's network (default: fit a network)"
    add("--weights", type=types.weights_file, metavar="FILE", help=text)
    arguments.add_dimension(add)
    text = "images described at once (default: what suits the device)"
    add("--batch-size", type=types.at_least(1), metavar="N", help=text)
    arguments.add_precision(command)
    arguments.add_network(command)
    arguments.add_quiet(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.mapping.builder import BuildOptions
    from netvlad_core.mapping.care.redescribe import redescribe
    from netvlad_core.mapping.place_map import PlaceMap

    before = PlaceMap.open(options.map, verify=True)
    build_options = BuildOptions(
        dimension=options.dimension,
        weights=options.weights,
        batch_size=options.batch_size,
        precision=options.precision,
        **arguments.fit_options(options),
    )
    after = redescribe(before, options.output, build_options, progress=not options.quiet)
    model, broken = before.header.model_id, len(before) - len(after)
    output.print_made(after, options.json, model_before=model, model_id=after.header.model_id)
    return output.finish(len(after), {"places whose image is broken": broken} if broken else {}, options.json)
