"""Write a part of a map as a map of its own: the places of an area, or those of some sessions.

netvlad map split maps/campus --area -20 0 150 80 --output maps/west
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_output_map(command)
    part = command.add_mutually_exclusive_group(required=True)
    text = "corners of a rectangle in the frame of the map, metres"
    part.add_argument("--area", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help=text)
    text = "name of a session, see `netvlad map info`; repeat it for several"
    part.add_argument("--session", action="append", metavar="NAME", help=text)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.care.split import split_by_area, split_by_session
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(options.map, verify=True)
    if options.area is not None:
        made = split_by_area(place_map, options.area, options.output)
    else:
        made = split_by_session(place_map, options.session, options.output)
    output.print_made(made, options.json)
