"""`netvlad build-map`: a drive becomes a map."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from netvlad_core.commands.common import (
    add_fit,
    add_precision,
    add_source,
    at_least,
    finish,
    fit_options,
    open_source,
    path,
    positive,
    warn_of_units,
    weights_file,
)

SUMMARY = "build a map of places from a drive"
REMARK = (
    "Without --weights the clusters of the package's network are fitted on the drive, and the map contains "
    "its own network."
)
EXAMPLE = "netvlad build-map drive/ --image-topic /camera/image_raw --pose-topic /odom --output maps/campus"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_source(command)
    command.add_argument(
        "--output", type=path, required=True, metavar="MAP", help="folder to write the map to"
    )
    command.add_argument(
        "--weights",
        type=weights_file,
        metavar="FILE",
        help="checkpoint or ONNX file, instead of fitting one; packaged: the package's as it is",
    )
    command.add_argument(
        "--store-images",
        choices=("none", "thumbnail", "full"),
        default="thumbnail",
        help="images kept in the map; none for privacy (default: %(default)s)",
    )
    rule = command.add_argument_group("keyframes (for recordings, the default is 1 m or 15 degrees)")
    rule.add_argument("--distance", type=positive, metavar="M", help="a place every M metres")
    rule.add_argument("--angle", type=positive, metavar="DEG", help="a place at each turn of DEG degrees")
    rule.add_argument("--time", type=positive, metavar="S", help="a place every S seconds")
    rule.add_argument("--every-image", action="store_true", help="every image is a place")
    command.add_argument("--no-poses", action="store_true", help="accept a drive without poses")
    command.add_argument(
        "--batch-size",
        type=at_least(1),
        metavar="N",
        help="images per step (default: what suits the device)",
    )
    add_precision(command)
    add_fit(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule

    keyframes = None
    if options.every_image:
        keyframes = KEEP_ALL
    elif any(value is not None for value in (options.distance, options.angle, options.time)):
        keyframes = KeyframeRule(options.distance, options.angle, options.time)
    build_options = BuildOptions(
        keyframes=keyframes,
        store_images=options.store_images,
        weights=options.weights,
        require_poses=not options.no_poses,
        batch_size=options.batch_size,
        precision=options.precision,
        **fit_options(options),
    )
    source = open_source(options, poses_required=not options.no_poses)
    try:
        place_map = build_map(source, options.output, build_options, not options.quiet)
    except KeyboardInterrupt:
        print("\nthe same command continues where this one stopped", file=sys.stderr)
        raise
    header = place_map.header
    print(f"{options.output}: {header.places} places, {header.dimension} dimensions, model {header.model_id}")
    warn_of_units(place_map)
    # Of the images that are no keyframes nobody knows whether they can be read: as many as of the others.
    broken = sum((Counter(header.skipped) - source.skipped).values())
    readable = source.usable * header.places // (header.places + broken)
    return finish(readable, header.skipped, total=len(source), remark=source.remark)
