"""Measure the recall of networks on collections of places.

Counts Recall@N over ALL queries, and beside it over those that have a correct place, as some projects do;
mean average precision if a set has junk lists (Oxford, Paris, Holidays). docs/datasets.md has the formats.

    netvlad evaluate-set datasets/pitts30k --split test --failures mistakes/

Several networks or sets give one table with a line for each network on each set; a protocol says which
images of a benchmark count:

    netvlad evaluate-set msls/ --protocol msls-740 --weights a.safetensors b.onnx
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.data.place_sets.protocols import PROTOCOLS, open_protocol
from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import NetvladError
from netvlad_core.files import check_outputs, written_whole
from netvlad_core.model.backbones import PACKAGED_NETWORK

if TYPE_CHECKING:
    from netvlad_core.data.place_sets.place_set import PlaceSet
    from netvlad_core.evaluation.place_recognition import SetResult
    from netvlad_core.model.extractor import Extractor

_MATCHES = 5
_COLUMNS = ["query", "rank", "match", "similarity", "distance_m", "correct"]
_REASONS = 10


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_place_set(command, several=True)
    add = command.add_argument
    text = f"what counts, for each PATH one of: {', '.join(PROTOCOLS)}"
    add("--protocol", choices=PROTOCOLS, nargs="+", metavar="P", help=text)
    text = "checkpoints, ONNX files or map folders (default: the network of this package)"
    add(
        "--weights", type=types.weights_file, nargs="+", default=[PACKAGED_NETWORK], metavar="FILE", help=text
    )
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
    from netvlad_core.evaluation.place_recognition import evaluate_place_set
    from netvlad_core.model.extractor import Extractor

    is_one = len(options.path) == len(options.weights) == 1
    _check_combination(options, is_one)
    outputs = {options.csv: ",".join(_COLUMNS)} if options.csv else {}
    if options.failures:
        from netvlad_core.evaluation.failures import PICTURE_MARK

        outputs |= {_picture(options, n): PICTURE_MARK for n in range(1, options.failure_count + 1)}
    check_outputs(outputs, (*options.path, options.queries, options.ground_truth, *options.weights))
    sets = [_open(options, number) for number in range(len(options.path))]
    heading = None if options.heading is None else math.radians(options.heading)
    found, read, left_out = [], 0, 0
    for weights in options.weights:
        file = arguments.network_path(weights)
        extractor = Extractor.load(file, options.device, precision=options.precision)
        for number, places in enumerate(sets):
            result = evaluate_place_set(places, extractor, options.threshold, heading, not options.quiet)
            found.append(_as_values(result, extractor, options, number))
            read += len(result.places.database) + len(result.places.queries)
            left_out += len(result.left_out)
            if is_one:
                _write(result, options)
    if options.json:
        print(json.dumps(found[0] if is_one else found, indent=2))
    elif is_one:
        _print(found[0])
    else:
        _print_table(found)
    return output.finish(read, {"image that cannot be read": left_out}, is_json=True)


def _check_combination(options: argparse.Namespace, is_one: bool) -> None:
    if not is_one and (options.csv or options.failures):
        raise NetvladError("--csv and --failures are for one network on one set")
    if len(options.path) > 1 and (options.queries or options.ground_truth):
        raise NetvladError("--queries and --ground-truth go with one PATH")
    if not options.protocol:
        return
    if len(options.protocol) != len(options.path):
        raise NetvladError(
            f"--protocol names one for each PATH; found {len(options.protocol)} for {len(options.path)}"
        )
    names = ("split", "queries", "ground_truth", "heading", "threshold")
    if given := [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]:
        raise NetvladError(f"a protocol says what counts; without it take {', '.join(given)}")


def _open(options: argparse.Namespace, number: int) -> PlaceSet:
    path = options.path[number]
    if options.protocol:
        return open_protocol(path, options.protocol[number])
    return open_place_set(path, options.split, options.queries, options.ground_truth)


def _write(result: SetResult, options: argparse.Namespace) -> None:
    from netvlad_core.evaluation.failures import draw_failure, worst_failures

    if options.csv:
        _write_matches(result, options.csv)
    if options.failures:
        for number, query in enumerate(worst_failures(result, options.failure_count), start=1):
            draw_failure(result, query, _picture(options, number))


def _picture(options: argparse.Namespace, number: int) -> Path:
    return options.failures / f"{number:03d}.png"


def _as_values(
    result: SetResult, extractor: Extractor, options: argparse.Namespace, number: int
) -> dict[str, Any]:
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
    protocol = options.protocol[number] if options.protocol else None
    if protocol:
        rule += f"; {PROTOCOLS[protocol].description}"
    spec = extractor.spec
    return {
        "set": places.name,
        "format": places.description,
        "protocol": protocol,
        "model_id": extractor.model_id,
        "method": spec.origin.partition(";")[0] or spec.aggregation,
        "backbone": spec.backbone,
        "dimension": extractor.dimension,
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
    if note := _published(values):
        print(note)
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
    _print_left_out(values)


def _published(values: dict[str, Any]) -> str:
    """A remark if the set is not the published one."""
    expected = PROTOCOLS[values["protocol"]].queries if values["protocol"] else None
    if expected in (None, values["queries"]):
        return ""
    return f"{values['set']}: {values['queries']} queries count here, and {expected} in the published set"


def _print_table(found: list[dict[str, Any]]) -> None:
    """A line for each network on each set, over all queries, as VPR-methods-evaluation reports it."""
    counts = [name for name in found[0]["recall"]["all queries"] if name != "queries"]
    rows = [["set", "queries", "method", "backbone", "dimension", *(f"R@{n}" for n in counts)]]
    for values in found:
        recall = values["recall"]["all queries"]
        about = [values["protocol"] or values["set"], values["queries"], values["method"]]
        shares = [f"{100 * recall[n]:.1f}" for n in counts]
        rows.append([*map(str, about), values["backbone"], str(values["dimension"]), *shares])
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if row is rows[0]:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for note in dict.fromkeys(filter(None, map(_published, found))):
        print(note)
    for values in found:
        _print_left_out(values)


def _print_left_out(values: dict[str, Any]) -> None:
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
