"""Merge the maps that wait at a site into its newest version, prune it, and publish it as the next one.

The frame stays that of the newest version; maps that show other streets go on waiting, and are named. Earlier
versions stay in the store. It also joins small files of the store and brings its index up to date: run it now
and then, where there is a fast line to the store.

    netvlad fleet compact --store /mnt/fleet --site campus
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_store(command)
    arguments.add_site(command)
    add = command.add_argument
    text = "largest drop of Recall@1 by pruning, as a share (default: %(default)g)"
    add("--loss", type=types.share, default=0.01, metavar="S", help=text)
    text = "number of places to keep (default: as few as --loss allows)"
    add("--places", type=types.at_least(1), metavar="N", help=text)
    add("--no-prune", action="store_true", help="keep all places")
    text = "the poses of all maps are in one frame, e.g. that of one map in /tf"
    add("--same-frame", action="store_true", help=text)
    arguments.add_dimension(add)
    arguments.add_device(command)
    add("--quiet", action="store_true", help="show no progress bar")
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.fleet.compacting import compact
    from netvlad_core.fleet.store import FleetStore

    store = FleetStore(options.store)
    with TemporaryDirectory(prefix="netvlad-fleet-") as work:
        done = compact(
            store,
            options.site,
            Path(work),
            options.dimension,
            None if options.no_prune else options.loss,
            options.places,
            options.same_frame,
            options.device,
            not options.quiet,
        )
    values = {
        "site": options.site, "version": done.version, "places": done.places, "merged": len(done.merged),
        "left_out": len(done.left_out),
    }  # fmt: skip
    output.print_values({**vars(done), "site": options.site} if options.json else values, options.json)
    for map_id, reason in done.left_out.items():
        print(f"still waits: {map_id}: {reason}", file=sys.stderr)
