"""Say what a map holds: places, way, extent, sizes, and what it was made of.

netvlad map info maps/campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.care.summary import summary
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(options.map)
    output.warn_of_units(place_map)
    output.print_values(summary(place_map), options.json)
