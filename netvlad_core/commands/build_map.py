"""Build a map of places from a drive.

Without --weights the clusters of the package's network are fitted to the drive, and the map contains the
result.

    netvlad build-map drive/ --pose-topic /odom --output maps/campus
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from netvlad_core.commands import common


def add_arguments(command: argparse.ArgumentParser) -> None:
    common.add_source(command)
    add = command.add_argument
    add("--output", type=common.path, required=True, metavar="MAP", help="folder to write the map to")
    text = "checkpoint or ONNX file, or `packaged` for the package's network (default: fit a network)"
    add("--weights", type=common.weights_file, metavar="FILE", help=text)
    choices, text = ("none", "thumbnail", "full"), "images kept in the map (default: %(default)s)"
    add("--store-images", choices=choices, default="thumbnail", help=text)
    common.add_dimension(add)
    text = "images described at once (default: what suits the device)"
    add("--batch-size", type=common.at_least(1), metavar="N", help=text)
    common.add_precision(command)
    common.add_fit(command)
    common.add_keyframes(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.mapping.builder import BuildOptions, build_map

    build_options = BuildOptions(
        keyframes=common.keyframe_rule(options),
        store_images=options.store_images,
        dimension=options.dimension,
        weights=options.weights,
        require_poses=not options.no_poses,
        batch_size=options.batch_size,
        precision=options.precision,
        **common.fit_options(options),
    )
    source = common.open_source(options, poses_required=not options.no_poses)
    try:
        place_map = build_map(source, options.output, build_options, not options.quiet)
    except KeyboardInterrupt:
        print("\nthe same command continues where this one stopped", file=sys.stderr)
        raise
    header = place_map.header
    print(f"{options.output}: {header.places} places, {header.dimension} dimensions, model {header.model_id}")
    common.warn_of_units(place_map)
    # Images that are no keyframes are never decoded: the share of readable keyframes stands for them.
    broken = sum((Counter(header.skipped) - source.skipped).values())
    readable = source.usable * header.places // (header.places + broken)
    return common.finish(readable, header.skipped, total=len(source), remark=source.remark)
