"""Check a map: every checksum, what the files hold, the stored images, the network.

All that is wrong is listed, and the exit status is 1; a map that is whole gives 0.

    netvlad map validate maps/campus --images all
"""

from __future__ import annotations

import argparse
import json

from netvlad_core.commands import arguments, types

_IMAGES = 100


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    text = "number of images to decode, spread over the map, or `all` (default: %(default)s)"
    command.add_argument("--images", type=_count, default=_IMAGES, metavar="N", help=text)
    arguments.add_json(command)


def _count(text: str) -> int | None:
    return None if text == "all" else types.at_least(0)(text)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.mapping.care.validation import faults_of

    faults = list(faults_of(options.map, options.images))
    if options.json:
        print(json.dumps({"map": str(options.map), "is_whole": not faults, "faults": faults}, indent=2))
    else:
        print("\n".join(faults) or f"{options.map}: whole")
    return 1 if faults else 0
