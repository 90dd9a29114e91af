"""`netvlad evaluate`: how well is a drive with known poses recognized?"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from netvlad_core.commands.common import (
    add_map,
    add_source,
    add_verification,
    bar,
    finish,
    open_localizer,
    open_source,
    positive,
    print_counts,
)
from netvlad_core.data.radii import CORRECT_WITHIN

if TYPE_CHECKING:
    from netvlad_core.evaluation.drive import DriveResult
    from netvlad_core.mapping.place_map import PlaceMap

SUMMARY = "recall and position error of a drive whose poses are known"
REMARK = ""
EXAMPLE = "netvlad evaluate maps/campus tuesday/ --pose-topic /ground_truth --threshold 25"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_map(command)
    add_source(command)
    add_verification(command)
    command.add_argument(
        "--threshold",
        type=positive,
        default=CORRECT_WITHIN,
        metavar="M",
        help="a place this near is correct (default: %(default)g)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.drive import evaluate_drive, localize_frames
    from netvlad_core.evaluation.recall import RECALL_AT

    localizer = open_localizer(options, top_k=max(RECALL_AT))
    source = open_source(options)
    left_out: Counter[str] = Counter()
    frames = bar(source, options.quiet)
    answers = ((frame.pose, answer) for frame, answer in localize_frames(localizer, frames, left_out))
    result = evaluate_drive(localizer.place_map, answers, options.threshold)
    left_out += Counter(result.left_out) + source.skipped
    if options.json:
        print(json.dumps(_as_values(result, localizer.place_map, left_out), indent=2))
    else:
        _print(result)
    return finish(result.queries, left_out, options.json, len(source), source.remark)


def _as_values(result: DriveResult, place_map: PlaceMap, left_out: Counter[str]) -> dict[str, Any]:
    import numpy as np

    errors = result.position_errors
    return {
        "map_id": place_map.header.map_id,
        "model_id": place_map.header.model_id,
        "queries": result.queries,
        "queries_without_positive": result.without_positive,
        "threshold_m": result.threshold,
        "recall": {str(n): share for n, share in result.recall.items()},
        "states": result.states,
        "position_error_median_m": float(np.median(errors)) if len(errors) else None,
        "left_out": dict(left_out),
    }


def _print(result: DriveResult) -> None:
    import numpy as np

    print(f"{result.queries} queries, correct within {result.threshold:g} m")
    for n, share in result.recall.items():
        print(f"  Recall@{n:<3} {100 * share:5.1f} %")
    print(
        f"of all {result.queries} queries; {result.without_positive} of them have no correct place in the map"
    )
    print_counts("states", result.states)
    errors = result.position_errors
    if len(errors):
        median, high = np.quantile(errors, [0.5, 0.95])
        print(f"position error of {len(errors)} poses: median {median:.2f} m, 95 % below {high:.2f} m")
