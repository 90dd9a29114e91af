"""List the maps of a site in the order in which they came: versions, and those that wait for the next one.

netvlad fleet log --store /mnt/fleet --site campus
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from typing import Any

from netvlad_core.commands import arguments


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_store(command)
    arguments.add_site(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.fleet.store import Entry, FleetStore

    site = FleetStore(options.store).site(options.site)
    versions, waiting = site.versions, site.waiting

    def known(entry: Entry) -> dict[str, Any]:
        when = datetime.fromtimestamp(entry.pushed // 10**9, timezone.utc)
        return {
            "version": versions.index(entry) + 1 if entry in versions else None,
            "waits": entry in waiting,
            "pushed": when.isoformat(),
            "robot": entry.robot,
            "map_id": entry.map_id,
            "places": entry.places,
            "bytes": entry.bytes,
            "session": entry.session,
        }

    entries = [known(entry) for entry in site.entries]
    if options.json:
        print(json.dumps(entries, indent=2))
        return
    for entry in entries:
        state = f"version {entry['version']}" if entry["version"] else "waits" if entry["waits"] else "merged"
        print(
            f"{state:<12}{entry['pushed']}  {entry['robot']}  {entry['map_id']}  {entry['places']} places, "
            f"{entry['bytes'] / 1e6:.1f} MB"
        )
