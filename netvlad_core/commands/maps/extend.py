"""Let a map learn from another drive: places that it does not know, or that look different now.

The drive may have poses of its own odometry: it is localized in the map, image after image, and put into the
frame of the map. A drive through other streets is refused. What is new becomes a session of its own; what the
map knows already is left out.

    netvlad map extend maps/campus evening/ --pose-topic /odom --output maps/campus_2
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_source(command)
    arguments.add_output_map(command)
    add = command.add_argument
    add(
        "--weights",
        type=types.weights_file,
        metavar="FILE",
        help="checkpoint or ONNX file (default: the map's)",
    )
    add("--name", metavar="NAME", help="name of the session (default: that of SOURCE)")
    arguments.add_keyframes(command)
    arguments.add_dimension(add)
    arguments.add_device(command)
    arguments.add_precision(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.localization.extending import extend
    from netvlad_core.mapping.builder import BuildOptions

    source = arguments.open_source(options)
    build_options = BuildOptions(
        keyframes=arguments.keyframe_rule(options),
        weights=options.weights,
        dimension=options.dimension,
        device=options.device,
        precision=options.precision,
    )
    name = options.name or options.source.resolve().stem
    done = extend(options.map, source, name, options.output, build_options, not options.quiet)
    figures = {"joint": done.joint.figures, "keyframes": done.driven, "added": done.added}
    output.print_made(done.place_map, options.json, **figures)
    return output.finish(done.driven, {}, options.json)
