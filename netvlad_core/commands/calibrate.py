"""`netvlad calibrate`: which thresholds does one's own data want?"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from netvlad_core.commands.common import (
    add_map,
    add_source,
    bar,
    finish,
    open_localizer,
    open_source,
    output_file,
    positive,
)
from netvlad_core.commands.outputs import beside, check_outputs
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.files import written_whole

_MARK = "netvlad calibrate"
SUMMARY = "propose acceptance thresholds for a wanted precision"
REMARK = (
    "Takes a second drive whose poses are known in the frame of the map, best one that also leaves the map, "
    "and writes a parameter file for the localizer with the precision/recall curve beside it."
)
EXAMPLE = (
    "netvlad calibrate --map maps/campus --drive tuesday/ --pose-topic /ground_truth --output campus.yaml"
)

# A few mistakes on one drive do not prove that less is enough anywhere else; the node takes nothing below.
_LEAST_BELIEF = 0.05


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_map(command, "--map")
    add_source(command, flag="--drive")
    command.add_argument(
        "--precision-wanted",
        type=_share,
        default=0.99,
        metavar="P",
        help="share of the accepted places that are correct (default: %(default)s)",
    )
    command.add_argument(
        "--threshold",
        type=positive,
        default=CORRECT_WITHIN,
        metavar="M",
        help="a place this near is correct (default: %(default)g)",
    )
    command.add_argument(
        "--output",
        type=output_file,
        default=Path("calibrated.yaml"),
        metavar="YAML",
        help="parameter file to write; the curve goes beside it as PNG (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.calibration import defaults, draw_curves, propose, score_drive

    picture = beside(options.output, ".png")
    inputs = (options.source, options.trajectory, options.map, options.weights)
    check_outputs({options.output: _MARK, picture: _MARK}, inputs)
    localizer = open_localizer(options)
    source = open_source(options)
    left_out: Counter[str] = Counter()
    scores = score_drive(localizer, bar(source, options.quiet), left_out, options.threshold)
    wanted, usual = options.precision_wanted, defaults(localizer)
    curves = scores.curves()
    thresholds = {name: propose(curve, wanted, usual[name]) for name, curve in curves.items()}
    thresholds["min_belief"] = max(_LEAST_BELIEF, thresholds["min_belief"])
    with written_whole(options.output) as parameters, written_whole(picture) as drawing:
        draw_curves(curves, thresholds, wanted, drawing, _MARK)
        parameters.write_text(_parameters(options, thresholds))

    images, answerable = len(scores.answerable), int(scores.answerable.sum())
    print(f"{images} images, {answerable} of them of mapped places; correct within {options.threshold:g} m")
    for name, curve in curves.items():
        accepted = curve.thresholds >= thresholds[name]
        precision = f"{100 * curve.precision[accepted][-1]:.1f} %" if accepted.any() else "-"
        recall = 100 * curve.recall[accepted].max(initial=0.0)
        print(
            f"{name:14}  {thresholds[name]:.4f}  precision {precision}, recall {recall:.1f} %, "
            f"recall at 100 % precision {100 * curve.recall_at(1.0):.1f} %"
        )
        if not len(curve.precision) or curve.precision.min() == 1.0:
            print(f"{'':14}  no mistake on this drive, so the default stays; a drive off the map tells more")
        elif not accepted.any():
            print(f"{'':14}  no threshold reaches {100 * wanted:g} %, so nothing is accepted")
    print(f"parameters: {options.output}; curve: {picture}")
    return finish(images, left_out + source.skipped, total=len(source), remark=source.remark)


def _parameters(options: argparse.Namespace, thresholds: dict[str, float]) -> str:
    return (
        f"# {_MARK}: thresholds for a precision of {100 * options.precision_wanted:g} %, of the drive "
        f"{options.source.name} on the map {options.map.name}.\n"
        "/**:\n"
        "  ros__parameters:\n"
        "    # For a single image.\n"
        f"    min_similarity: {thresholds['min_similarity']:.6f}\n"
        "    # With the sequence filter.\n"
        f"    min_belief: {thresholds['min_belief']:.6f}\n"
    )


def _share(text: str) -> float:
    """Type of an argument: above 0, at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, found {text}")
    return value
