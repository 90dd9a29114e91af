"""Write a map without its images, for privacy; descriptors, poses and network stay.

The localizer then works as before, but for verification by local features. Descriptors of NetVLAD are no
images, but they are not proven to hide what was seen.

    netvlad map strip-images maps/campus --output maps/campus_private
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    arguments.add_output_map(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.care.split import strip_images
    from netvlad_core.mapping.place_map import PlaceMap

    output.print_made(strip_images(PlaceMap.open(options.map, verify=True), options.output), options.json)
