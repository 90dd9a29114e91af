"""Thresholds from which a place is accepted, calibrated on a drive with known poses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.evaluation.drive import DriveJudge, DriveResult
from netvlad_core.evaluation.precision_recall import PrecisionRecall
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import observe_frames
from netvlad_core.localization.tracking.sequence_filter import HYSTERESIS, State

# Accepts every answer of the sequence filter.
_ANY_BELIEF = 1e-9


def score_drive(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str], threshold: float = CORRECT_WITHIN
) -> dict[str, DriveResult]:
    """Judge every image of a drive by itself and as part of the drive, and compare with its true pose.

    Images without a true pose take part in the drive, but are not judged; broken ones are counted in
    `left_out`.

    Returns
    -------
    By the name of the setting that is a threshold on the scores:

    * `min_belief`: the highest one at which the filter is LOCALIZED; a state once entered survives one above
      its probability;
    * `min_similarity`: score of an image by itself: its similarity, raised by its inliers with verification;
    * `min_inliers` instead of it, with verification in a map without a likelihood: features that agree.

    Raises
    ------
    SourceError
        If the map or all images are without poses.
    """
    options = localizer.options
    alone = "min_inliers" if localizer.counts_inliers else "min_similarity"
    any_belief = replace(options.sequence, min_belief=_ANY_BELIEF)
    localizer = localizer.with_options(replace(options, min_similarity=-1.0, sequence=any_belief))
    localizer.forget()
    judges = {name: DriveJudge(localizer, threshold) for name in (alone, "min_belief")}
    accepted = -np.inf  # the highest min_belief at which this image would be LOCALIZED
    for frame, observation in observe_frames(localizer.observe, frames, left_out):
        tracked = localizer.track(observation)
        kept = min(accepted, _kept(tracked.probability))
        is_possible = tracked.belief is not None and tracked.belief.state is State.LOCALIZED
        accepted = max(tracked.probability, kept) if is_possible else -np.inf
        judges["min_belief"].add(frame.pose, tracked, accepted if tracked.prior else -np.inf)
        answer = localizer.locate(observation)
        best = answer.matches[0]
        if alone == "min_inliers":
            score = float(best.inliers)
        else:
            score = best.score if answer.prior else -np.inf
        judges[alone].add(frame.pose, answer, score)
    return {name: judge.result() for name, judge in judges.items()}


def _kept(probability: float) -> float:
    """The highest min_belief at which the filter stays LOCALIZED with this probability."""
    odds = HYSTERESIS * probability
    return (1 - 1e-9) * odds / (1 - probability + odds)


def propose(curve: PrecisionRecall, precision: float, default: float, nothing: float = 1.0) -> float:
    """Threshold for a precision.

    A drive without a mistake cannot tell what a mistake looks like, so the default stays. If no threshold is
    precise enough, it is `nothing`, which accepts nothing.
    """
    if not len(curve.precision) or curve.precision.min() == 1.0:
        return default
    threshold = curve.threshold_for(precision)
    if threshold is None:
        return nothing
    # Halfway to the next score: another machine rounds differently, and no image may change sides for that.
    below = curve.thresholds[curve.thresholds < threshold]
    return float(threshold + below[0]) / 2 if len(below) else threshold


def draw_curves(
    curves: Mapping[str, PrecisionRecall],
    thresholds: Mapping[str, float],
    precision: float,
    path: Path,
    mark: str,
) -> None:
    """Draw precision over recall, with the proposed thresholds, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for (name, curve), color in zip(curves.items(), ("#8a8f98", "#1f6fb2"), strict=True):
        label = "sequence filter" if name == "min_belief" else "single image"
        axes.plot(curve.recall, curve.precision, color=color, label=label)
        accepted = np.flatnonzero(curve.thresholds >= thresholds[name])
        if len(accepted):
            at = curve.recall[accepted[-1]], curve.precision[accepted[-1]]
            axes.plot(*at, "o", color=color)
            text, placed = f"{name} {thresholds[name]:.3g}", (-6, -14)
            axes.annotate(text, at, placed, textcoords="offset points", ha="right", color=color, fontsize=8)
    axes.axhline(precision, color="#d0d0d0", linewidth=1, zorder=0)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": mark})
