"""Measure recall and time of a map's network in each precision.

Describes a drive with known poses in each precision and finds it in the map as it is. ONNX files of `netvlad
export` beside the network are used; missing ones are exported for the measurement alone, int8 calibrated on
this drive.

    netvlad precision maps/campus tuesday/ --precisions float32 int8
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from netvlad_core.commands import arguments, output, types
from netvlad_core.errors import NetvladError
from netvlad_core.model.spec import ONNX_PRECISIONS, PRECISIONS
from netvlad_core.progress import bar

if TYPE_CHECKING:
    from netvlad_core.data.frames import FrameSource
    from netvlad_core.evaluation.arithmetic import PrecisionResult
    from netvlad_core.mapping.map_header import MapHeader
    from netvlad_core.model.extractor import Extractor


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("map", metavar="MAP", type=types.path, help="map folder")
    add("--weights", type=types.path, metavar="FILE", help="checkpoint (default: the map's)")
    arguments.add_source(command)
    text = f"to compare with float32 (default: {' '.join(PRECISIONS)})"
    add("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, metavar="P", help=text)
    arguments.add_threshold(command)
    arguments.add_device(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.arithmetic import compare_precisions
    from netvlad_core.mapping.place_map import PlaceMap

    place_map = PlaceMap.open(options.map)
    source = arguments.open_source(options)
    left_out: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        extractors = _extractors(options.weights or place_map.network_path, source, Path(folder), options)
        frames = bar(source, show=not options.quiet)
        results = compare_precisions(place_map, frames, extractors, left_out, options.threshold)
    header, queries = place_map.header, next(iter(results.values())).queries
    left_out += source.skipped
    if options.json:
        values = {
            "map_id": header.map_id,
            "model_id": header.model_id,
            "queries": queries,
            "threshold_m": options.threshold,
            "precisions": {name: asdict(result) for name, result in results.items()},
            "left_out": left_out,
        }
        print(json.dumps(values, indent=2))
    else:
        _print(results, header, options.threshold)
    return output.finish(queries, left_out, options.json, len(source), source.remark)


def _print(results: dict[str, PrecisionResult], header: MapHeader, threshold: float) -> None:
    queries = next(iter(results.values())).queries
    print(
        f"{queries} queries, {header.places} places, correct within {threshold:g} m; descriptor of "
        f"{header.dimension} float32 = {4 * header.dimension / 1e3:.1f} kB, model {header.model_id}"
    )
    print(f"{'precision':<14}  {'R@1 %':>6} {'R@5 %':>6} {'R@10 %':>6}  {'similarity':>10}  {'ms':>7}")
    for name, result in results.items():
        recall = " ".join(f"{100 * share:6.1f}" for share in result.recall.values())
        print(f"{name:<14}  {recall}  {result.similarity:>10.5f}  {1e3 * result.seconds:>7.1f}")
    print("similarity: mean, to the descriptor of the same image in float32; ms: median, one image at a time")


def _extractors(
    weights: Path, source: FrameSource, folder: Path, options: argparse.Namespace
) -> dict[str, Extractor]:
    """Extractors of the checkpoint and of its ONNX files; float32 of the checkpoint comes first."""
    from netvlad_core.mapping.keyframes import KEEP_ALL, sample_frames
    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.model.export import CALIBRATION_IMAGES, export, missing_packages
    from netvlad_core.model.extractor import Extractor
    from netvlad_core.model.open_engine import variant_path

    if weights.suffix == ".onnx":
        raise NetvladError(f"{weights} is one precision of a network; name its checkpoint with --weights")
    chosen = [precision for precision in PRECISIONS if precision in ("float32", *options.precisions)]
    extractors = {
        precision: Extractor.load(weights, options.device, precision=precision)
        for precision in chosen
        if precision != "int8"
    }
    missing = missing_packages()
    if missing:
        text = f"ONNX files and int8 are skipped; to include them: pip install {' '.join(missing)}"
        print(text, file=sys.stderr)
        return extractors
    images = sample_frames(source, KEEP_ALL, not options.quiet, CALIBRATION_IMAGES, "calibrating")
    for precision in (precision for precision in chosen if precision in ONNX_PRECISIONS):
        path = variant_path(weights, precision)
        if not path.is_file():
            path = folder / path.name
            export(load_checkpoint(weights), path, precision, images() if precision == "int8" else ())
        extractors[f"{precision} ONNX"] = Extractor.load(path, options.device, precision=precision)
    return extractors
