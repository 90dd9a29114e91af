"""Build a map of places from a drive.

Without --weights the clusters of the package's network are fitted to the drive, and the map contains the
result.

    netvlad build-map drive/ --pose-topic /odom --output maps/campus
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_source(command)
    add = command.add_argument
    add("--output", type=types.path, required=True, metavar="MAP", help="folder to write the map to")
    arguments.add_building(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.mapping.builder import build_map

    source = arguments.open_source(options, poses_required=not options.no_poses)
    try:
        place_map = build_map(source, options.output, arguments.build_options(options), not options.quiet)
    except KeyboardInterrupt:
        print("\nthe same command continues where this one stopped", file=sys.stderr)
        raise
    header = place_map.header
    print(f"{options.output}: {header.places} places, {header.dimension} dimensions, model {header.model_id}")
    if place_map.features is not None and header.store_images == "none" and options.store_features == "auto":
        print("it keeps local features, of which images can be guessed; --store-features none keeps nothing")
    output.warn_of_units(place_map)
    # Images that are no keyframes are never decoded: the share of readable keyframes stands for them.
    broken = sum((Counter(header.skipped) - source.skipped).values())
    readable = source.usable * header.places // (header.places + broken)
    return output.finish(readable, header.skipped, total=len(source), remark=source.remark)
