"""Propose acceptance thresholds for a wanted precision.

The drive needs poses in the frame of the map, and tells most if it also leaves the map. Writes a parameter
file, for --params and for the localizer node, and the precision/recall curve.

    netvlad calibrate maps/campus tuesday/ --output campus.yaml
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.files import beside, check_outputs, written_whole
from netvlad_core.progress import bar

if TYPE_CHECKING:
    from netvlad_core.evaluation.precision_recall import PrecisionRecall
    from netvlad_core.localization.localizer import Localizer
    from netvlad_core.localization.localizer_options import LocalizerOptions
    from netvlad_core.settings import Setting

_MARK = "netvlad calibrate"
# Settings that are in the file even if they are the default.
_ALWAYS = ("sequence_filter", "verification", "min_inliers")


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_localization(command, is_calibration=True)
    arguments.add_threshold(command)
    add = command.add_argument
    text = "share of the accepted places that are to be correct (default: %(default)s)"
    add("--precision-wanted", type=_share, default=0.99, metavar="P", help=text)
    text = "parameter file to write; the curve goes beside it as PNG (default: %(default)s)"
    add("--output", type=types.output_file, default=Path("calibrated.yaml"), metavar="YAML", help=text)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.evaluation.calibration import draw_curves, score_drive
    from netvlad_core.settings import parameters_text

    picture = beside(options.output, ".png")
    check_outputs({options.output: _MARK, picture: _MARK}, arguments.inputs_of(options))
    localizer = arguments.open_localizer(options)
    source = arguments.open_source(options)
    left_out: Counter[str] = Counter()
    results = score_drive(localizer, bar(source, show=not options.quiet), left_out, options.threshold)
    curves, wanted = {name: result.curve() for name, result in results.items()}, options.precision_wanted
    thresholds = {name: _threshold(name, curve, localizer, wanted) for name, curve in curves.items()}
    title = (
        f"{_MARK}: thresholds for a precision of {100 * wanted:g} %, of the drive {options.source.name} "
        f"on the map {options.map.name}."
    )
    with written_whole(options.output) as parameters, written_whole(picture) as drawing:
        draw_curves(curves, thresholds, wanted, drawing, _MARK)
        chosen = _settings(localizer.options, thresholds)
        parameters.write_text(parameters_text(chosen, [title]), encoding="utf-8")
    result = results["min_belief"]
    left_out += result.left_out + source.skipped
    values = {
        "images": len(result.states),
        "images_of_mapped_places": int(result.recall.has_positive.sum()),
        "threshold_m": options.threshold,
        "precision_wanted": wanted,
        "proposed": {name: _figures(curve, thresholds[name]) for name, curve in curves.items()},
        "parameters": str(options.output),
        "curve": str(picture),
        "left_out": left_out,
    }
    if options.json:
        print(json.dumps(values, indent=2))
    else:
        _print(values)
    used = int((~result.recall.is_trivial).sum())
    return output.finish(used, left_out, options.json, total=len(source), remark=source.remark)


def _threshold(name: str, curve: PrecisionRecall, localizer: Localizer, wanted: float) -> float:
    """Threshold for the wanted precision, within the range of its setting."""
    from netvlad_core.evaluation.calibration import propose
    from netvlad_core.settings import settings_of

    known = settings_of(localizer.options)[name]
    if name == "min_inliers" and localizer.options.sequence_filter:
        return float(known.default)  # the filter weighs by it: min_belief is calibrated for this value
    usual = localizer.min_similarity if name == "min_similarity" else known.default
    # A few mistakes on one drive do not prove that less than the low end of the range is enough elsewhere.
    threshold = max(propose(curve, wanted, usual, nothing=known.high or 1.0), known.low or 0.0)
    return float(math.ceil(threshold) if isinstance(known.default, int) else threshold)


def _settings(options: LocalizerOptions, thresholds: Mapping[str, float]) -> dict[str, Setting]:
    """Settings for the file: the thresholds, and the settings for which they hold."""
    from netvlad_core.settings import settings_of, with_settings

    usual = settings_of(type(options)())
    values = {name: type(usual[name].default)(value) for name, value in thresholds.items()}
    found = settings_of(with_settings(options, values))
    named = {*thresholds, *_ALWAYS}
    return {name: one for name, one in found.items() if name in named or one != usual[name]}


def _figures(curve: PrecisionRecall, threshold: float) -> dict[str, Any]:
    """What a threshold does on the drive; precision is None if it accepts nothing."""
    accepted = curve.thresholds >= threshold
    return {
        "threshold": threshold,
        "precision": float(curve.precision[accepted][-1]) if accepted.any() else None,
        "recall": float(curve.recall[accepted].max(initial=0.0)),
        "recall_at_full_precision": float(curve.recall_at(1.0)),
        "is_without_mistake": not len(curve.precision) or bool(curve.precision.min() == 1.0),
    }


def _print(values: dict[str, Any]) -> None:
    images, mapped = values["images"], values["images_of_mapped_places"]
    print(f"{images} images, {mapped} of them of mapped places; correct within {values['threshold_m']:g} m")
    print("setting         proposed  precision %  recall %  recall at 100 % precision")
    for name, row in values["proposed"].items():
        precision = "-" if row["precision"] is None else f"{100 * row['precision']:.1f}"
        recall, full = 100 * row["recall"], 100 * row["recall_at_full_precision"]
        print(f"{name:14}  {row['threshold']:8.4g}  {precision:>11}  {recall:8.1f}  {full:25.1f}")
        if row["is_without_mistake"]:
            print("                no mistake on this drive, so the default stays;")
            print("                a drive off the map tells more")
        elif row["precision"] is None:
            wanted = f"{100 * values['precision_wanted']:g} %"
            print(f"                nothing reaches {wanted}, so nothing is accepted")
    print(f"parameters: {values['parameters']}; curve: {values['curve']}")


def _share(text: str) -> float:
    """Type of an argument: above 0, at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, found {text}")
    return value
