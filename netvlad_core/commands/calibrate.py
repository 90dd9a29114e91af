"""`netvlad calibrate`: which thresholds does one's own data want?"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import Any

from netvlad_core.commands.common import (
    add_localization,
    add_source,
    add_threshold,
    finish,
    inputs_of,
    open_localizer,
    open_source,
    output_file,
)
from netvlad_core.commands.outputs import beside, check_outputs
from netvlad_core.files import written_whole
from netvlad_core.progress import bar

_MARK = "netvlad calibrate"
SUMMARY = "propose acceptance thresholds for a wanted precision"
REMARK = (
    "Takes a second drive whose poses are known in the frame of the map, preferably one that also leaves the "
    "map. Writes a parameter file, for --params and for the localizer node, and the precision/recall curve."
)
EXAMPLE = (
    "netvlad calibrate --map maps/campus --drive tuesday/ --pose-topic /ground_truth --output campus.yaml"
)

# Named in the file even if they are as usual: what the thresholds hold for.
_ALWAYS = ("sequence_filter", "verification", "min_inliers")


def add_arguments(command: argparse.ArgumentParser) -> None:
    add_localization(command, is_calibration=True)
    add_source(command, flag="--drive")
    command.add_argument(
        "--precision-wanted",
        type=_share,
        default=0.99,
        metavar="P",
        help="share of the accepted places that are correct (default: %(default)s)",
    )
    add_threshold(command)
    command.add_argument(
        "--output",
        type=output_file,
        default=Path("calibrated.yaml"),
        metavar="YAML",
        help="parameter file to write; the curve goes beside it as PNG (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.calibration import draw_curves, propose, score_drive
    from netvlad_core.evaluation.recall import TRIVIAL
    from netvlad_core.localization.localizer import LocalizerOptions
    from netvlad_core.settings import parameters_text, settings_of, with_settings

    picture = beside(options.output, ".png")
    check_outputs({options.output: _MARK, picture: _MARK}, inputs_of(options))
    localizer = open_localizer(options)
    source = open_source(options)
    left_out: Counter[str] = Counter()
    results = score_drive(localizer, bar(source, show=not options.quiet), left_out, options.threshold)
    known, wanted = settings_of(localizer.options), options.precision_wanted
    curves = {name: result.curve() for name, result in results.items()}
    thresholds: dict[str, Any] = {}
    for name, curve in curves.items():
        usual = localizer.min_similarity if name == "min_similarity" else known[name].default
        threshold = propose(curve, wanted, usual, nothing=float(known[name].high or 1.0))
        # A few mistakes on one drive do not prove that less is enough anywhere else.
        threshold = max(threshold, float(known[name].low or 0.0))
        thresholds[name] = math.ceil(threshold) if name == "min_inliers" else threshold
    found = settings_of(with_settings(localizer.options, thresholds))
    usual_ones = settings_of(LocalizerOptions())
    chosen = {n: one for n, one in found.items() if n in (*_ALWAYS, *thresholds) or one != usual_ones[n]}
    title = (
        f"{_MARK}: thresholds for a precision of {100 * wanted:g} %, of the drive {options.source.name} "
        f"on the map {options.map.name}."
    )
    with written_whole(options.output) as parameters, written_whole(picture) as drawing:
        draw_curves(curves, thresholds, wanted, drawing, _MARK)
        parameters.write_text(parameters_text(chosen, [title]), encoding="utf-8")

    recall = results["min_belief"].recall
    trivial = int(recall.is_trivial.sum())
    images, answerable = len(recall.is_trivial), int(recall.has_positive.sum())
    print(f"{images} images, {answerable} of them of mapped places; correct within {options.threshold:g} m")
    for name, curve in curves.items():
        accepted = curve.thresholds >= thresholds[name]
        precision = f"{100 * curve.precision[accepted][-1]:.1f} %" if accepted.any() else "-"
        share = 100 * curve.recall[accepted].max(initial=0.0)
        print(
            f"{name:14}  {thresholds[name]:.4g}  precision {precision}, recall {share:.1f} %, "
            f"recall at 100 % precision {100 * curve.recall_at(1.0):.1f} %"
        )
        if not len(curve.precision) or curve.precision.min() == 1.0:
            print(f"{'':14}  no mistake on this drive, so the default stays; a drive off the map tells more")
        elif not accepted.any():
            print(f"{'':14}  no threshold reaches {100 * wanted:g} %, so nothing is accepted")
    print(f"parameters: {options.output}; curve: {picture}")
    left_out += Counter({TRIVIAL: trivial}) + source.skipped
    return finish(images - trivial, left_out, total=len(source), remark=source.remark)


def _share(text: str) -> float:
    """Type of an argument: above 0, at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, found {text}")
    return value
