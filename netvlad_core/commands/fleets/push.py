"""Put a map into the store, under a site.

The first map of a site is its version 1; further ones wait until `compact` makes the next version of them. A
push that was stopped continues, and one that was done already changes nothing.

    netvlad fleet push maps/campus --store /mnt/fleet --site campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_store(command)
    arguments.add_site(command)
    add = command.add_argument
    add("--robot", metavar="NAME", help="who pushes (default: the name of this machine)")
    text = "make the map the next version of the site, in place of what `compact` would make"
    add("--publish", action="store_true", help=text)
    add("--quiet", action="store_true", help="show no progress bar")
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.fleet.exchange import push
    from netvlad_core.fleet.store import FleetStore

    store = FleetStore(options.store, makes=True)
    entry, is_new = push(store, options.map, options.site, options.robot, options.publish, not options.quiet)
    site = store.site(options.site)
    values = {
        "session": entry.session,
        "map_id": entry.map_id,
        "places": entry.places,
        "bytes": entry.bytes,
        "is_new": is_new,
        "site": site.name,
        "newest_version": len(site.versions),
        "waiting": len(site.waiting),
    }
    output.print_values(values, options.json)
