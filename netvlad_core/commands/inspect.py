"""Describe and check a map, a bag, a checkpoint or an ONNX file.

Of a bag it lists the topics, and those that other commands take if none are named.

netvlad inspect maps/campus
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.errors import NetvladError, SourceError

if TYPE_CHECKING:
    from netvlad_core.data.bags.bag_file import Topic


def add_arguments(command: argparse.ArgumentParser) -> None:
    text = "map folder, bag, checkpoint or ONNX file"
    command.add_argument("path", type=types.path, metavar="MAP|FILE", help=text)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.data.bags.bag_file import is_bag

    if not options.path.exists():
        expected = "a map folder, a bag, a checkpoint or an ONNX file"
        raise NetvladError(f"{options.path} does not exist; expected {expected}")
    if is_bag(options.path):
        describe = _bag_values
    else:
        describe = _map_values if options.path.is_dir() else _network_values
    output.print_values(describe(options.path), options.json)


def _bag_values(path: Path) -> dict[str, Any]:
    from netvlad_core.data.bags.bag_file import Bag
    from netvlad_core.data.bags.topics import choose_image_topic, choose_pose_topic

    def chosen(choose: Callable[[], Topic | None]) -> str:
        try:
            topic = choose()
        except SourceError as error:
            return str(error)
        return topic.name if topic else "none"

    with Bag(path) as bag:
        images = chosen(lambda: choose_image_topic(bag.topics, None))
        return {
            "bag": str(path),
            "bytes": sum(file.stat().st_size for file in bag.files),
            "topics": [asdict(topic) for topic in sorted(bag.topics.values())],
            "images": images,
            "poses": chosen(lambda: choose_pose_topic(bag.topics, None, images)),
            "remarks": bag.remarks,
        }


def _map_values(path: Path) -> dict[str, Any]:
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(path, verify=True)
    output.warn_of_units(place_map)
    return asdict(place_map.header)


def _network_values(path: Path) -> dict[str, Any]:
    from netvlad_core.model.extractor import Extractor

    extractor = Extractor.load(path)
    extractor.try_out()
    values: dict[str, Any] = {
        "model_id": extractor.model_id, "runs_on": extractor.device, "precision": extractor.precision,
    }  # fmt: skip
    if path.suffix != ".onnx":
        from netvlad_core.model.checkpoints import load_checkpoint

        network = load_checkpoint(path)  # the engine may have taken the ONNX file beside it
        values["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return {**values, "dimension": extractor.dimension, **extractor.spec.stated()}
