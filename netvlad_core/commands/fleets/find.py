"""Say which site an image or a drive shows, and where in it: for a robot that wakes up anywhere.

A drive is asked by images spread over it, 20 by default; each names the place of the whole fleet that
resembles it most. Poses are in the frame of the map that is named. The network is that of the newest map in
the store, unless --weights names it.

    netvlad fleet find evening/ --image-topic /camera/image_raw --store /mnt/fleet
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from netvlad_core.commands import arguments, types

if TYPE_CHECKING:
    import numpy as np


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_source(command)
    arguments.add_store(command)
    add = command.add_argument
    add("--weights", type=types.weights_file, metavar="FILE", help="checkpoint or ONNX file, or `packaged`")
    text = "images of a drive that are looked for (default: %(default)s)"
    add("--images", type=types.at_least(1), default=20, metavar="N", help=text)
    text = "places shown for each image (default: %(default)s)"
    add("--top", type=types.at_least(1), default=3, metavar="K", help=text)
    arguments.add_device(command)
    arguments.add_precision(command)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.fleet.finding import Finder, open_network, share_of_sites
    from netvlad_core.fleet.store import FleetStore
    from netvlad_core.model.extractor import Extractor

    store = FleetStore(options.store)
    with TemporaryDirectory() as folder:
        if options.weights:
            extractor = Extractor.load(options.weights, options.device, precision=options.precision)
        else:
            extractor = open_network(store, Path(folder), options.device, options.precision)
        finder = Finder(store, extractor.model_id, extractor.dimension)
        found = [(name, finder.find(extractor(image)[0], options.top)) for name, image in _images(options)]
    sites = share_of_sites([sightings[0] for _, sightings in found if sightings])
    if options.json:
        images = [{"image": name, "places": [asdict(each) for each in places]} for name, places in found]
        print(json.dumps({"sites": sites, "images": images}, indent=2))
        return 0
    for name, places in found:
        for each in places:
            at = " ".join(f"{value:.2f}" for value in each.pose[:3]) if each.pose else "no pose"
            print(f"{name}  {each.site}  {each.map_id} place {each.place} at {at}  {each.similarity:.3f}")
    for site, share in sites.items():
        print(f"{site}: {100 * share:.0f} % of {len(found)} images")
    return 0


def _images(options: argparse.Namespace) -> Iterator[tuple[str, np.ndarray]]:
    """Names and images: the one that is named, or some of a drive."""
    from netvlad_core.data.catalogue import IMAGE_SUFFIXES
    from netvlad_core.data.images import read_image
    from netvlad_core.errors import ImageError, SourceError
    from netvlad_core.mapping.keyframes import step_of

    if options.source.suffix.lower() in IMAGE_SUFFIXES:
        yield options.source.name, read_image(options.source)
        return
    source = arguments.open_source(options, poses_required=False)
    read = 0
    for number, frame in enumerate(source):
        if number % step_of(source.usable, options.images) == 0:
            try:
                yield frame.name, frame.decode()
                read += 1
            except ImageError:
                continue
    if not read:
        raise SourceError(f"{source.description} has no image that can be read")
