"""Fetch a version of a site's map, byte for byte as it was pushed.

All of it is checked before it replaces an earlier map at the output. A pull that was stopped continues.

    netvlad fleet pull --store /mnt/fleet --site campus --output maps/campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_store(command)
    arguments.add_site(command)
    arguments.add_output_map(command)
    text = "number of the version, see `netvlad fleet log` (default: the newest)"
    command.add_argument("--version", type=types.at_least(1), metavar="V", help=text)
    text = "refuse a map of another model than this, as `netvlad map info` names it"
    command.add_argument("--model", metavar="ID", help=text)
    command.add_argument("--quiet", action="store_true", help="show no progress bar")
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.fleet.exchange import pull
    from netvlad_core.fleet.objects import StoreError
    from netvlad_core.fleet.store import FleetStore
    from netvlad_core.mapping.place_map import PlaceMap

    def accept(place_map: PlaceMap) -> None:
        if options.model not in (None, place_map.header.model_id):
            raise StoreError(
                f"{options.site} has a map of the model {place_map.header.model_id}, not {options.model}: "
                f"{options.output} stays as it was"
            )

    store = FleetStore(options.store)
    pulled = pull(store, options.site, options.output, options.version, accept, not options.quiet)
    figures = {"site": options.site, "version": pulled.version, "is_new": pulled.is_new}
    output.print_made(pulled.place_map, options.json, **figures)
