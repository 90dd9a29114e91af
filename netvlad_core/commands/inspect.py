"""Describe and check a map, a checkpoint or an ONNX file.

netvlad inspect maps/campus
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netvlad_core.commands import common


def add_arguments(command: argparse.ArgumentParser) -> None:
    text = "map folder, checkpoint or ONNX file"
    command.add_argument("path", type=common.path, metavar="MAP|FILE", help=text)
    common.add_json(command)


def run(options: argparse.Namespace) -> None:
    values = (_map_values if options.path.is_dir() else _network_values)(options.path)
    common.print_values(values, options.json)


def _map_values(path: Path) -> dict[str, Any]:
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(path, verify=True)
    common.warn_of_units(place_map)
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
    return {**values, "dimension": extractor.dimension, **asdict(extractor.spec)}
