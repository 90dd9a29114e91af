"""Measure the recall of a network on a collection of places.

Counts Recall@N over ALL queries, and beside it over those that have a correct place, as some projects do;
mean average precision if a set has junk lists (Oxford, Paris, Holidays). docs/datasets.md has the formats.

    netvlad evaluate-set datasets/pitts30k --split test --failures mistakes/
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.files import check_outputs, written_whole
from netvlad_core.model.backbones import PACKAGED_NETWORK

if TYPE_CHECKING:
    from netvlad_core.evaluation.place_recognition import SetResult

_MATCHES = 5
_COLUMNS = ["query", "rank", "match", "similarity", "distance_m", "correct"]
_REASONS = 10


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_place_set(command)
    add = command.add_argument
    text = "checkpoint, ONNX file or map folder (default: the network of this package)"
    add("--weights", type=types.weights_file, default=PACKAGED_NETWORK, metavar="FILE", help=text)
    text = f"distance within which a place is correct (default: the set's, {CORRECT_WITHIN:g})"
    add("--threshold", type=types.positive, metavar="M", help=text)
    text = f"write the first {_MATCHES} matches of each query"
    add("--csv", type=types.output_file, metavar="FILE", help=text)
    add("--failures", type=types.path, metavar="DIR", help="draw the surest mistakes into this folder")
    text = "number of mistakes to draw (default: %(default)s)"
    add("--failure-count", type=types.at_least(1), default=20, metavar="N", help=text)
    command.add_argument("--json", action="store_true", help="print JSON")
    arguments.add_device(command)
    arguments.add_precision(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.failures import PICTURE_MARK, draw_failure, worst_failures
    from netvlad_core.evaluation.place_recognition import evaluate_place_set
    from netvlad_core.model.extractor import Extractor

    outputs = {options.csv: ",".join(_COLUMNS)} if options.csv else {}
    for number in range(1, options.failure_count + 1) if options.failures else ():
        outputs[_picture(options, number)] = PICTURE_MARK
    check_outputs(outputs, (options.path, options.queries, options.ground_truth, options.weights))
    places = arguments.open_place_set(options, options.split)
    weights = arguments.network_path(options.weights)
    extractor = Extractor.load(weights, options.device, precision=options.precision)
    heading = None if options.heading is None else math.radians(options.heading)
    result = evaluate_place_set(places, extractor, options.threshold, heading, not options.quiet)
    values = _as_values(result, extractor.model_id, options)
    if options.json:
        print(json.dumps(values, indent=2))
    else:
        _print(values)
    if options.csv:
        _write_matches(result, options.csv)
    if options.failures:
        for number, query in enumerate(worst_failures(result, options.failure_count), start=1):
            draw_failure(result, query, _picture(options, number))
    read = len(result.places.database) + len(result.places.queries)
    return output.finish(read, {"image that cannot be read": len(result.left_out)}, is_json=True)


def _picture(options: argparse.Namespace, number: int) -> Path:
    return options.failures / f"{number:03d}.png"


def _as_values(result: SetResult, model_id: str, options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    places, has_positive = result.places, result.recall.has_positive
    every = np.ones(len(has_positive), dtype=bool)
    if places.correct is not None:
        rule = "listed in the ground truth"
    elif places.database.positions is not None:
        rule = f"within {options.threshold or places.threshold:g} m"
    else:
        rule = "of the same label"
    if options.heading:
        rule += f" and {options.heading:g} degrees"
    if places.group_counts_once:
        rule += "; the cut-outs of a panorama count once"
    counted = {}
    for name, mask in {"all queries": every, **places.subsets}.items():
        counted[name] = _counted(result, mask)
        if not has_positive[mask].all():
            counted[f"{name} with a correct place"] = _counted(result, mask & has_positive)
    return {
        "set": places.name,
        "format": places.description,
        "model_id": model_id,
        "places": len(places.database),
        "queries": len(places.queries),
        "queries_without_positive": int((~has_positive).sum()),
        "correct": rule,
        "recall": counted,
        "mean_average_precision": result.mean_average_precision() if places.ignored is not None else None,
        "left_out": result.left_out,
    }


def _counted(result: SetResult, queries: Any) -> dict[str, Any]:
    recall = {str(n): share for n, share in result.recall.at(among=queries).items()}
    return {"queries": int(queries.sum()), **recall}


def _print(values: dict[str, Any]) -> None:
    print(f"{values['set']}: {values['format']}\n{values['model_id']}")
    print(f"{values['places']} places, {values['queries']} queries; correct is what is {values['correct']}")
    counts = [name for name in next(iter(values["recall"].values())) if name != "queries"]
    width = max(map(len, values["recall"]))
    print(f"{'Recall in % of':{width}}  queries" + "".join(f"{'@' + n:>7}" for n in counts))
    for name, row in values["recall"].items():
        print(f"{name:{width}}  {row['queries']:7}" + "".join(f"{100 * row[n]:7.1f}" for n in counts))
    missing = values["queries_without_positive"]
    print(
        f"{missing} queries have no correct place in the database; they count as failed among all queries."
        if missing
        else "Every query has a correct place in the database."
    )
    if values["mean_average_precision"] is not None:
        print(f"mean average precision {100 * values['mean_average_precision']:.1f} % (trapezoid rule)")
    left_out = values["left_out"].items()
    reasons = [reason if path in reason else f"{path}: {reason}" for path, reason in left_out]
    for reason in reasons[:_REASONS]:
        print(f"left out: {reason}")
    if len(reasons) > _REASONS:
        print(f"left out: {len(reasons) - _REASONS} more; --json names all")


def _write_matches(result: SetResult, table: Path) -> None:
    with (
        written_whole(table) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for query, (rows, similarities) in enumerate(zip(result.ranked, result.similarities, strict=True)):
            correct = set(result.positives[query].tolist())
            name = result.places.queries.names[query]
            for rank, (row, similarity) in enumerate(zip(rows[:_MATCHES], similarities), start=1):
                away = result.distance(query, int(row))
                metres, match = "" if away is None else f"{away:.2f}", result.places.database.names[row]
                writer.writerow([name, rank, match, f"{similarity:.6f}", metres, int(row in correct)])
