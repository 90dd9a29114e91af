"""Build a map of each of many drives at once, and one of all of them.

One network is fitted on a sample of all drives and serves for all. Each drive is a task of Ray, on the cores
of this machine or on a cluster; drives that fail are listed, and the same command does what is missing. Maps
whose places are recognised in each other are then merged in one, `merged`, in the frame of the first.

    netvlad build-maps monday/ tuesday/ friday/ --pose-topic /odom --output maps/
"""

from __future__ import annotations

import argparse
import json
import sys

from netvlad_core.commands import arguments, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    text = "bags, catalogues or folders of images, read alike; a map has the name of its drive"
    command.add_argument("bags", type=types.path, nargs="+", metavar="BAG", help=text)
    arguments.add_source_options(command)
    add = command.add_argument
    add("--output", type=types.path, required=True, metavar="MAPS", help="folder to write the maps to")
    add("--ray", metavar="ADDRESS", help="HOST:PORT of a cluster's head, or auto (default: the cores here)")
    text = "processes on this machine (default: one for each core)"
    add("--workers", type=types.at_least(1), metavar="N", help=text)
    add("--no-merge", action="store_true", help="leave the maps apart")
    text = "the poses of all drives are in one frame, e.g. that of one map in /tf"
    add("--same-frame", action="store_true", help=text)
    arguments.add_building(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.fleet.build_maps import Drive, build_maps

    source_options = arguments.source_options(options, poses_required=not options.no_poses)
    drives = [Drive(path.resolve().stem, path, source_options) for path in options.bags]
    try:
        built = build_maps(
            drives,
            options.output,
            arguments.build_options(options),
            options.ray,
            options.workers,
            not options.no_merge,
            options.same_frame,
            not options.quiet,
        )
    except KeyboardInterrupt:
        print("\nthe same command continues where this one stopped", file=sys.stderr)
        raise
    if options.json:
        print(json.dumps(vars(built), indent=2))
    else:
        for name, places in built.maps.items():
            print(f"{options.output / name}: {places} places" + ", as before" * (name not in built.made))
        if built.merged:
            merged = len(built.maps) - len(built.left_out)
            print(f"{options.output / 'merged'}: {built.merged} places of {merged} drives")
    sys.stdout.flush()
    for name, reason in built.left_out.items():
        print(f"not merged: {name}: {reason}", file=sys.stderr)
    for name, reason in built.failures.items():
        print(f"no map: {name}: {reason}", file=sys.stderr)
    return 1 if built.failures else 0
