"""A second drive held against a map: recall, states and position errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.evaluation.recall import Recall, recall_by_position, within
from netvlad_core.localization.localizer import Localization, State
from netvlad_core.mapping.place_map import PlaceMap


@dataclass(frozen=True, eq=False)
class DriveResult:
    """What is known of Q answers whose true pose is known.

    Attributes
    ----------
    threshold : metres within which a place is correct.
    recall : of the matches of each image.
    states : (Q,) int, see `State`.
    is_correct : (Q,) bool, whether the place that the answer names is a correct one.
    scores : (Q,) float, higher is surer; -inf without a pose.
    position_errors : (Q,) metres; NaN without a pose.
    """

    threshold: float
    recall: Recall
    states: np.ndarray
    is_correct: np.ndarray
    scores: np.ndarray
    position_errors: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of answers in each state, by its name."""
        return {state.name: int((self.states == state).sum()) for state in State}

    def curve(self) -> PrecisionRecall:
        """Precision and recall of the answers that reach a score; trivial queries do not count."""
        counted = ~self.recall.is_trivial
        return precision_recall(
            self.scores[counted], self.is_correct[counted], self.recall.has_positive[counted]
        )


class DriveJudge:
    """Compares answers with the true poses of their images, one by one, and keeps a few numbers of each.

    Parameters
    ----------
    threshold : metres within which a place is correct.

    Raises
    ------
    SourceError
        If the map has no poses.
    """

    def __init__(self, place_map: PlaceMap, threshold: float = CORRECT_WITHIN) -> None:
        if not place_map.has_poses:
            raise SourceError(
                f"the map {place_map.path} has no poses, so nothing can be evaluated against it"
            )
        self._places = np.asarray(place_map.poses[:, :3])
        self._threshold = threshold
        self._ranked: list[list[int]] = []
        self._rows: list[tuple[int, int, float, float]] = []
        self._truth: list[np.ndarray] = []

    def add(self, pose: Pose, answer: Localization, score: float | None = None) -> None:
        """Take an answer, the true pose map <- base_link of its image, and its score.

        The score is by default the probability of an answer with a pose.
        """
        error = np.nan
        if answer.prior:
            error = float(np.linalg.norm(answer.prior.pose.position - pose.position))
        if score is None:
            score = answer.probability if answer.prior else -np.inf
        self._ranked.append([match.place for match in answer.matches])
        self._rows.append((answer.state, answer.place, score, error))
        self._truth.append(pose.position)

    def result(self) -> DriveResult:
        """Figures of all answers so far; raises SourceError if there are none."""
        if not self._rows:
            raise SourceError("no image has a true pose; map and drive need poses in one frame")
        truth = np.array(self._truth)
        states, named, scores, errors = (np.array(column) for column in zip(*self._rows, strict=True))
        return DriveResult(
            self._threshold,
            recall_by_position(np.array(self._ranked), self._places, truth, self._threshold),
            states,
            within(named[:, None], self._places, truth, self._threshold)[:, 0],
            scores,
            errors,
        )
