"""`netvlad localize`: where was each image of a drive taken?"""

from __future__ import annotations

import argparse
import csv
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
    output_file,
    print_counts,
)
from netvlad_core.commands.outputs import beside, check_outputs
from netvlad_core.files import written_whole

if TYPE_CHECKING:
    from pathlib import Path

    from netvlad_core.localization.localizer import Localization

SUMMARY = "find the images of a drive in a map"
REMARK = (
    "Writes one CSV row per image, and beside the table the poses as a TUM trajectory. For a "
    "precision/recall curve, accept the column `place` from a threshold on the column `score`."
)
EXAMPLE = "netvlad localize maps/campus tuesday/ --output tuesday.csv"

# `place` is the one believed in, or without the filter the best match; `score` is higher the surer it is.
_COLUMNS = [
    "image", "stamp", "state", "place", "score", "belief", "best_match", "similarity", "inliers",
    "x", "y", "z", "qx", "qy", "qz", "qw",
]  # fmt: skip
_TUM_MARK = "poses by netvlad localize"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_map(command)
    add_source(command)
    add_verification(command)
    command.add_argument("--output", type=_table, required=True, metavar="CSV", help="table to write")
    command.add_argument(
        "--single-image",
        action="store_true",
        help="judge every image by itself, instead of as part of a drive whose poses, if any, are odometry",
    )


def _table(text: str) -> Path:
    """Type of an argument: a file to write that is not named like the trajectory beside it."""
    if text.lower().endswith(".tum"):
        raise argparse.ArgumentTypeError(f"{text} is to be a table; the trajectory goes beside it as .tum")
    return output_file(text)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.data.trajectory import write_tum
    from netvlad_core.evaluation.drive import localize_frames

    tum = beside(options.output, ".tum")
    inputs = (options.source, options.trajectory, options.map, options.weights)
    check_outputs({options.output: ",".join(_COLUMNS[:4]), tum: _TUM_MARK}, inputs)
    localizer = open_localizer(options)
    left_out: Counter[str] = Counter()
    source = open_source(options, poses_required=False)
    poses, states = [], Counter[str]()
    with written_whole(options.output) as table, written_whole(tum) as trajectory:
        # A name that is no text in UTF-8 keeps its bytes.
        with table.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            frames = bar(source, options.quiet)
            for frame, answer in localize_frames(localizer, frames, left_out, not options.single_image):
                writer.writerow(_row(frame.name, answer))
                states[answer.state.name] += 1
                if answer.prior:
                    poses.append((answer.stamp, answer.prior.pose))
        write_tum(trajectory, poses, _TUM_MARK)
    print(f"{options.output}: {sum(states.values())} images; {tum}: {len(poses)} poses")
    print_counts("states", states)
    left_out += source.skipped
    return finish(sum(states.values()), left_out, total=len(source), remark=source.remark)


def _row(name: str, answer: Localization) -> list[Any]:
    best = answer.matches[0]
    pose = [""] * 7
    if answer.prior:
        values = (*answer.prior.pose.position, *answer.prior.pose.quaternion)
        pose = [f"{value:.6f}" for value in values]
    stamp = f"{answer.stamp // 10**9}.{answer.stamp % 10**9:09d}"
    place, belief = best.place, ""
    if answer.belief:
        place, belief = answer.belief.place, f"{answer.belief.probability:.6f}"
    match = [best.place, f"{best.similarity:.6f}", best.inliers]
    return [name, stamp, answer.state.name, place, f"{answer.confidence:.6f}", belief, *match, *pose]
