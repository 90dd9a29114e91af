"""Drop places that others make superfluous, at a measured loss of recall.

Recall@1 is measured among the map's own images: each is searched among the places that are kept, itself
excepted. A budget that costs more than --loss is refused with the figure. The localizer, which follows a
drive, finds fewer poses in a sparser map even if single images lose nothing: the spacings that are printed
say how much sparser it is. Views that resemble none of their neighbours, such as those in rare light, stay
longest.

    netvlad map prune maps/campus --places 2000 --output maps/campus_small
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_output_map(command)
    budget = command.add_mutually_exclusive_group()
    text = "number of places to keep (default: as few as --loss allows)"
    budget.add_argument("--places", type=types.at_least(1), metavar="N", help=text)
    text = "size of the map's files to stay below"
    budget.add_argument("--bytes", type=types.at_least(1), metavar="B", help=text)
    text = "largest drop of Recall@1, as a share (default: %(default)g)"
    command.add_argument("--loss", type=types.share, default=0.01, metavar="S", help=text)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.care.parts import check_fit
    from netvlad_core.mapping.care.prune import prune
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(options.map, verify=True)
    check_fit([place_map], options.output)
    pruned = prune(place_map, options.output, options.places, options.bytes, options.loss)
    output.print_made(
        pruned.place_map,
        options.json,
        places_before=len(place_map),
        recall_before=pruned.recall_before,
        recall_after=pruned.recall_after,
        spacing_before=place_map.header.spacing,
        spacing=pruned.place_map.header.spacing,
    )
