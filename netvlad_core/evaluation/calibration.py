"""Thresholds for one's own data: what a drive with known poses says about when to accept a place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.evaluation.recall import positives_within
from netvlad_core.localization.localizer import Localizer, LocalizerOptions
from netvlad_core.localization.tracking.sequence_filter import SequenceOptions
from netvlad_core.model.streaming import describe_frames


@dataclass(frozen=True)
class Scores:
    """Of the images of a drive, one array element each.

    Attributes
    ----------
    similarity : (Q,) float, of the best place where the image by itself would give a pose, else -inf.
    similarity_correct : (Q,) bool, whether that place is a correct one.
    belief : (Q,) float, probability by the sequence filter where it could give a pose, else -inf.
    belief_correct : (Q,) bool.
    answerable : (Q,) bool, whether the map has a correct place.
    """

    similarity: np.ndarray
    similarity_correct: np.ndarray
    belief: np.ndarray
    belief_correct: np.ndarray
    answerable: np.ndarray

    def curves(self) -> dict[str, PrecisionRecall]:
        """By the name of the parameter that the threshold belongs to."""
        return {
            "min_similarity": precision_recall(self.similarity, self.similarity_correct, self.answerable),
            "min_belief": precision_recall(self.belief, self.belief_correct, self.answerable),
        }


def score_drive(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str], threshold: float = CORRECT_WITHIN
) -> Scores:
    """Judge every image of a drive by itself and as part of the drive, and compare with its true pose.

    Images without a true pose take part in the drive, but are not judged; they are counted in `left_out`.

    Raises
    ------
    SourceError
        If the map or all images are without poses.
    """
    place_map = localizer.place_map
    if not place_map.has_poses:
        raise SourceError(f"the map {place_map.path} has no poses, so nothing is known to be correct")
    everything = replace(localizer.options, min_similarity=-1.0, sequence=SequenceOptions(min_belief=1e-9))
    localizer.options, options = everything, localizer.options
    localizer.forget()
    rows: list[tuple[float, int, float, int]] = []
    truth = []
    for described in (item for batch in describe_frames(frames, localizer.extractor) for item in batch):
        pose, stamp = described.frame.pose, described.frame.stamp
        if described.descriptor is None:
            left_out[described.error or "broken image"] += 1
            continue
        tracked = localizer.track(described.descriptor, stamp, pose)
        if pose is None or tracked.belief is None:
            left_out["without a true pose"] += 1
            continue
        alone = localizer.locate(described.descriptor, stamp)
        similarity = alone.matches[0].similarity if alone.prior else -np.inf
        belief = tracked.belief.probability if tracked.prior else -np.inf
        rows.append((similarity, alone.matches[0].place, belief, tracked.belief.place))
        truth.append(pose.position)
    localizer.options = options
    if not rows:
        raise SourceError("no image has a true pose; a calibration needs poses of map and drive in one frame")
    similarities, best, beliefs, believed = (np.array(column) for column in zip(*rows, strict=True))
    positives = positives_within(np.asarray(place_map.poses[:, :3]), np.array(truth), threshold)
    queries = np.arange(len(rows))
    return Scores(
        similarities,
        positives[queries, best],
        beliefs,
        positives[queries, believed],
        positives.sum(axis=1) > 0,
    )


def propose(curve: PrecisionRecall, precision: float, default: float) -> float:
    """Threshold for a precision.

    Where the drive shows no mistake it cannot tell what a mistake looks like, so the default stays; where no
    threshold is precise enough it is 1, which accepts nothing.
    """
    if not len(curve.precision) or curve.precision.min() == 1.0:
        return default
    threshold = curve.threshold_for(precision)
    return 1.0 if threshold is None else threshold


def defaults(localizer: Localizer) -> dict[str, float]:
    """Thresholds in force without a calibration."""
    return {
        "min_similarity": localizer.place_map.header.similarity_threshold,
        "min_belief": LocalizerOptions().sequence.min_belief,
    }


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
    names = {"min_similarity": "single image", "min_belief": "sequence filter"}
    for (name, curve), color in zip(curves.items(), ("#8a8f98", "#1f6fb2"), strict=True):
        axes.plot(curve.recall, curve.precision, color=color, label=names[name])
        accepted = np.flatnonzero(curve.thresholds >= thresholds[name])
        if len(accepted):
            at = accepted[-1]
            axes.plot(curve.recall[at], curve.precision[at], "o", color=color)
            axes.annotate(
                f"{name} {thresholds[name]:.3f}",
                (curve.recall[at], curve.precision[at]),
                textcoords="offset points",
                xytext=(-6, -14),
                ha="right",
                color=color,
                fontsize=8,
            )
    axes.axhline(precision, color="#d0d0d0", linewidth=1, zorder=0)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": mark})
