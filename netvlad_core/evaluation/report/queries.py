"""The queries of a report: what the page shows of each image of a drive, and of all of them."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from scipy.special import chdtri

from netvlad_core.data.frames import Frame
from netvlad_core.errors import ImageError
from netvlad_core.evaluation.drive import DriveJudge, DriveResult
from netvlad_core.evaluation.report.sheets import PictureSheets
from netvlad_core.evaluation.report.values import all_rounded, histogram, metres, rounded
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.pose_prior import PoseEstimate
from netvlad_core.localization.tracking.sequence_filter import State

# A belief is kept for this many parts of the map at most, and of them for those that stand out.
_PARTS, _STANDING_OUT = 256, 16
_LEAST_PART = 0.004  # probability; less is not seen on the page
_MOST_MATCHES, _WITH_PICTURES = 10, 5
_MOST_PAIRS = 24
_CURVE_POINTS = 200
_RANKS = range(1, 21)

# What an answer is worth, held against the truth. MISSED: no pose, though the place is in the map.
RIGHT, WRONG, MISSED, SILENT = "right", "wrong", "missed", "silent"


class DriveRecord:
    """Takes the answers to a drive one by one, and says in the end what the page shows of them.

    Parameters
    ----------
    threshold : metres within which a place is correct.
    sheets : takes the pictures.
    has_truth : whether the poses of the drive are true positions in the frame of the map.
    """

    def __init__(
        self, localizer: Localizer, threshold: float, sheets: PictureSheets, has_truth: bool = True
    ) -> None:
        self._localizer, self._threshold, self._sheets = localizer, threshold, sheets
        self._positions = np.asarray(localizer.place_map.poses[:, :3])
        is_judged = has_truth and localizer.place_map.has_poses
        self._judge = DriveJudge(localizer, threshold) if is_judged else None
        self._judged: list[int] = []  # rows with a true position
        self._rows: list[dict[str, Any]] = []
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._first_stamp: int | None = None
        count = len(localizer.place_map)
        self._parts = np.linspace(0, count, min(count, _PARTS) + 1).astype(int)

    def localize(self, frames: Iterable[Frame], left_out: Counter[str]) -> None:
        """Localize images one at a time, as a robot does; broken ones are counted in `left_out`."""
        localizer = self._localizer
        judge = localizer.track if localizer.options.sequence_filter else localizer.locate
        for frame in frames:
            try:
                with self._timed("decode"):
                    image = frame.decode()
                observation = localizer.observe(image, frame.stamp, frame.pose, timed=self._timed)
                with self._timed("search"):
                    answer = judge(observation)
            except ImageError as error:
                left_out[error.kind] += 1
                continue
            self._add(frame, observation, answer)
            self._rows[-1]["picture"] = self._sheets.add(image)

    def _add(self, frame: Frame, observation: Observation, answer: Localization) -> None:
        if self._first_stamp is None:
            self._first_stamp = frame.stamp
        belief, prior = answer.belief, answer.prior
        row: dict[str, Any] = {
            "name": frame.name,
            "time": rounded((frame.stamp - self._first_stamp) / 1e9, 2),
            "state": int(answer.state),
            "verdict": None,
            "place": answer.place,
            "probability": rounded(answer.probability, 4),
            "on_map": rounded(belief.on_map, 4) if belief else None,
            "score": rounded(answer.confidence, 3),
            "reason": answer.reason,
            "pose": metres(prior.pose.position) if prior else None,
            "ellipse": _ellipse(prior) if prior else None,
            "truth": None,
            "error": None,
            "away": None,
            "nearest": None,
            "matches": [
                [match.place, rounded(match.similarity, 3), match.inliers]
                for match in answer.matches[:_MOST_MATCHES]
            ],
            "belief": self._belief() if belief else None,
            "pairs": self._pairs(observation, answer.place),
        }
        if self._judge and frame.pose is not None:
            truth = frame.pose.position
            away = np.linalg.norm(self._positions - truth, axis=1)
            row["truth"], row["away"] = metres(truth), rounded(away[answer.place], 2)
            row["nearest"] = int(np.argmin(away))
            self._judge.add(frame.pose, answer, answer.confidence)
            self._judged.append(len(self._rows))
        self._rows.append(row)

    def shown_places(self) -> set[int]:
        """Places whose pictures the page shows."""
        shown = {row[name] for row in self._rows for name in ("place", "nearest")} - {None}
        return shown | {match[0] for row in self._rows for match in row["matches"][:_WITH_PICTURES]}

    def values(self) -> dict[str, Any]:
        """Rows, figures, curves and times, as the page reads them."""
        result = self._judge.result() if self._judge and self._judged else None
        states = Counter(State(row["state"]).name for row in self._rows)
        values: dict[str, Any] = {
            "judged_as": "drive" if self._localizer.options.sequence_filter else "single images",
            "threshold": self._threshold,
            "states": {state.name: states[state.name] for state in State},
            "parts": self._parts.tolist(),
            "pictures": self._sheets.values(),
            "times": [_times(stage, seconds) for stage, seconds in self._seconds.items()],
        }
        if result:
            self._hold_against_truth(result)
            values |= _judged_values(result)
            values["verdicts"] = Counter(row["verdict"] for row in self._rows if row["verdict"])
        return values | table(self._rows)

    def _hold_against_truth(self, result: DriveResult) -> None:
        for at, number in enumerate(self._judged):
            row, error = self._rows[number], result.position_errors[at]
            row["error"] = rounded(error, 2)
            if row["state"] == State.LOCALIZED:
                is_right = result.is_correct[at] and error <= self._threshold
                row["verdict"] = RIGHT if is_right else WRONG
            else:
                row["verdict"] = MISSED if result.recall.has_positive[at] else SILENT

    def _belief(self) -> list[Any]:
        """Parts of the map that stand out with their probabilities, and that of each other part."""
        of_parts = np.add.reduceat(self._localizer.place_probabilities(), self._parts[:-1])
        best = np.argsort(-of_parts)[:_STANDING_OUT]
        best = best[of_parts[best] > max(_LEAST_PART, 2 * float(np.median(of_parts)))]
        others = (1 - of_parts[best].sum()) / max(1, len(of_parts) - len(best))
        pairs = [[int(part), rounded(of_parts[part], 3)] for part in np.sort(best)]
        return [rounded(others, 4), *pairs]

    def _pairs(self, observation: Observation, place: int) -> str | None:
        """Points seen in query and place, 4 bytes each (x y of the one, x y of the other), as base64."""
        points = self._localizer.common_points(observation, place)
        if not len(points):
            return None
        spread = np.unique(np.linspace(0, len(points) - 1, min(len(points), _MOST_PAIRS)).astype(int))
        bytes_ = np.clip(np.round(255 * points[spread]), 0, 255).astype(np.uint8)
        return base64.b64encode(bytes_.tobytes()).decode()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self._seconds[stage].append(perf_counter() - start)


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows without their names, which `columns` has once."""
    return {"columns": list(rows[0]) if rows else [], "rows": [list(row.values()) for row in rows]}


def _ellipse(prior: PoseEstimate) -> list[float | None]:
    """Half axes in metres and the direction of the first, radians, of the 95 % ellipse of x and y."""
    variances, axes = np.linalg.eigh(prior.covariance[:2, :2])
    half = np.sqrt(np.maximum(variances, 0) * chdtri(2, 0.05))
    return all_rounded([half[1], half[0], np.arctan2(axes[1, 1], axes[0, 1])], 3)


def _times(stage: str, seconds: list[float]) -> dict[str, Any]:
    median, high = np.quantile(seconds, [0.5, 0.95])
    return {
        "stage": stage,
        "median": rounded(1e3 * median, 2),
        "high": rounded(1e3 * high, 2),
        "mean": rounded(1e3 * float(np.mean(seconds)), 2),
    }


def _judged_values(result: DriveResult) -> dict[str, Any]:
    """Figures and curves of the images with a true position."""
    counted, curve = ~result.recall.is_trivial, result.curve()
    errors = result.position_errors[np.isfinite(result.position_errors)]
    spread = np.unique(np.linspace(0, len(curve.precision) - 1, _CURVE_POINTS).round().astype(int))
    spread = spread[: len(curve.precision)]
    is_posed = np.isfinite(result.position_errors)
    possible = max(1, int(result.recall.has_positive[counted].sum()))
    hits = int((is_posed & result.is_correct & counted).sum())
    return {
        "judged": len(result.states),
        "without_positive": int((counted & ~result.recall.has_positive).sum()),
        "error": {
            "mean": rounded(errors.mean(), 2),
            "median": rounded(np.median(errors), 2),
            "high": rounded(np.quantile(errors, 0.99), 2),
            "worst": rounded(errors.max(), 2),
        }
        if len(errors)
        else None,
        "errors": histogram(errors),
        "recall": list(result.recall.at(_RANKS).values()) if counted.any() else None,
        "curve": {
            "precision": all_rounded(curve.precision[spread], 4),
            "recall": all_rounded(curve.recall[spread], 4),
            "at_full_precision": rounded(curve.recall_at(1.0), 4),
            "given": [rounded(hits / max(1, (is_posed & counted).sum()), 4), rounded(hits / possible, 4)],
        },
    }
