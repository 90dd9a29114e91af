"""Care for a map.

`upgrade` writes a map of format 1 in format 2, which takes half the room, or a 28th if the map is large; its
answers stay what they are.

    netvlad map upgrade maps/campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import common


def add_arguments(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("upgrade", help="write the map in the present format").add_argument
    add("map", type=common.path, metavar="MAP", help="map folder")
    common.add_dimension(add)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.mapping.upgrade import upgrade

    before = PlaceMap.open(options.map).header
    after = upgrade(options.map, options.dimension).header
    size, new_size = (sum(file["bytes"] for file in header.files.values()) for header in (before, after))
    print(
        f"{options.map}: format {before.version} -> {after.version}, {before.stored_dimension} -> "
        f"{after.stored_dimension} numbers a place, {size / 1e6:.1f} -> {new_size / 1e6:.1f} MB"
    )
