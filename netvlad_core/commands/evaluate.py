"""Measure how well a drive with known poses is localized.

Prints Recall@N, states and position errors of the answers that the localizer node would give: by default the
images are one drive, whose poses serve as odometry. Recall counts the matches of each image by itself.

    netvlad evaluate maps/campus tuesday/ --pose-topic /ground_truth
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output
from netvlad_core.progress import bar

if TYPE_CHECKING:
    from netvlad_core.evaluation.drive import DriveResult
    from netvlad_core.localization.localizer import Localizer


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_localization(command)
    arguments.add_threshold(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.drive import DriveJudge
    from netvlad_core.localization.localizer import localize_frames

    localizer = arguments.open_localizer(options)
    source = arguments.open_source(options)
    left_out: Counter[str] = Counter()
    judge = DriveJudge(localizer, options.threshold)
    first_image: int | None = None
    first_pose: int | None = None
    for frame, answer in localize_frames(localizer, bar(source, show=not options.quiet), left_out):
        judge.add(frame.pose, answer)
        first_image = answer.stamp if first_image is None else first_image
        first_pose = answer.stamp if first_pose is None and answer.prior else first_pose
    result = judge.result()
    left_out += result.left_out + source.skipped
    waited = None if first_image is None or first_pose is None else (first_pose - first_image) / 1e9
    values = {
        **_as_values(result, localizer),
        "first_pose_after_s": waited,
        "threshold_m": options.threshold,
        "left_out": left_out,
    }
    if options.json:
        print(json.dumps(values, indent=2))
    else:
        _print(values)
    return output.finish(values["queries"], left_out, options.json, len(source), source.remark)


def _as_values(result: DriveResult, localizer: Localizer) -> dict[str, Any]:
    import numpy as np

    from netvlad_core.localization.tracking.sequence_filter import State
    from netvlad_core.settings import settings_of

    header, options = localizer.place_map.header, localizer.options
    counted, posed = ~result.recall.is_trivial, result.states == State.LOCALIZED
    errors = result.position_errors[np.isfinite(result.position_errors)]
    quantiles = np.quantile(errors, [0.5, 0.95, 0.99, 1.0]).tolist() if len(errors) else [None] * 4
    return {
        "map_id": header.map_id,
        "model_id": header.model_id,
        "judged_as": "drive" if options.sequence_filter else "single images",
        "queries": int(counted.sum()),
        "queries_without_positive": int((counted & ~result.recall.has_positive).sum()),
        "recall": {str(n): share for n, share in result.recall.at().items()},
        "states": result.counts(),
        "localized_at_a_correct_place": int((posed & result.is_correct).sum()),
        "poses": len(errors),
        "position_error_mean_m": errors.mean().item() if len(errors) else None,
        "position_error_median_m": quantiles[0],
        "position_error_95_percent_m": quantiles[1],
        "position_error_99_percent_m": quantiles[2],
        "position_error_largest_m": quantiles[3],
        "settings": {name: one.default for name, one in settings_of(options).items()},
    }


def _print(values: dict[str, Any]) -> None:
    judged = values["judged_as"]
    how = "judged as a drive, whose poses serve as odometry" if judged == "drive" else "each judged by itself"
    queries = values["queries"]
    print(f"{queries} queries, {how}; correct within {values['threshold_m']:g} m")
    for n, share in values["recall"].items():
        print(f"  Recall@{n:<3} " + (f"{100 * share:5.1f} %" if queries else "    -"))
    missing = values["queries_without_positive"]
    print(f"of all {queries} queries; {missing} of them have no correct place in the map")
    output.print_counts("states", values["states"])
    localized = values["states"]["LOCALIZED"]
    print(f"LOCALIZED at a correct place: {values['localized_at_a_correct_place']} of {localized}")
    if values["poses"]:
        print(f"position error of {values['poses']} poses, in metres:")
        names = {
            "mean": "mean",
            "median": "median",
            "95_percent": "95 %",
            "99_percent": "99 %",
            "largest": "largest",
        }
        errors = (f"{name} {values[f'position_error_{key}_m']:.2f}" for key, name in names.items())
        print("  " + ", ".join(errors))
        share = values["poses"] / sum(values["states"].values())
        print(
            f"images with a pose: {100 * share:.1f} %, the first after {values['first_pose_after_s']:.1f} s"
        )
