"""List the sites of a store: versions, maps that wait for the next one, places, bytes.

netvlad fleet sites --store /mnt/fleet
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from netvlad_core.commands import arguments


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_store(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.fleet.store import FleetStore, Site

    def known(site: Site) -> dict[str, Any]:
        newest = site.versions[-1]
        return {
            "site": site.name,
            "version": len(site.versions),
            "places": newest.places,
            "bytes": newest.bytes,
            "map_id": newest.map_id,
            "waiting": len(site.waiting),
            "robots": sorted({entry.robot for entry in site.entries}),
        }

    sites = [known(site) for site in FleetStore(options.store).sites()]
    if options.json:
        print(json.dumps(sites, indent=2))
        return
    for site in sites:
        robots = f"{len(site['robots'])} robot" + "s" * (len(site["robots"]) > 1)
        print(
            f"{site['site']}: version {site['version']}, {site['places']} places, "
            f"{site['bytes'] / 1e6:.1f} MB, {site['waiting']} waiting, {robots}"
        )
