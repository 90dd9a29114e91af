"""Write a map of format 1 in the present format.

It takes half the room, or a 28th if the map is large; its answers stay what they are.

    netvlad map upgrade maps/campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_dimension(command.add_argument)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.mapping.upgrade import upgrade

    before = PlaceMap.open(options.map).header
    upgraded = upgrade(options.map, options.dimension)
    after = upgraded.header
    size, new_size = (sum(file["bytes"] for file in header.files.values()) for header in (before, after))
    if options.json:
        figures = {"format_before": before.version, "format": after.version, "bytes_before": size}
        output.print_made(upgraded, True, **figures)
        return
    print(
        f"{options.map}: format {before.version} -> {after.version}, {before.stored_dimension} -> "
        f"{after.stored_dimension} numbers a place, {size / 1e6:.1f} -> {new_size / 1e6:.1f} MB"
    )
