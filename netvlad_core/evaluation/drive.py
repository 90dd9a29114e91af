"""A drive compared with a map: recall, states and position errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.evaluation.recall import RECALL_AT, Recall, recall_by_position, within
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap


@dataclass(frozen=True, eq=False)
class DriveResult:
    """Figures of Q answers to images with a true pose.

    Attributes
    ----------
    recall : ranks among the matches of each image, up to the largest of RECALL_AT, whatever `top_k` is.
    states : (Q,) int, see `State`.
    is_correct : (Q,) bool, whether the place that the answer names is a correct one.
    scores : (Q,) float, higher is more certain; -inf without a pose.
    position_errors : (Q,) metres; NaN without a pose.
    left_out : reasons and counts of the images that do not count.
    """

    recall: Recall
    states: np.ndarray
    is_correct: np.ndarray
    scores: np.ndarray
    position_errors: np.ndarray
    left_out: Counter[str]

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
    localizer : gives the answers.
    threshold : metres within which a place is correct.

    Raises
    ------
    SourceError
        If the map has no poses.
    """

    def __init__(self, localizer: Localizer, threshold: float = CORRECT_WITHIN) -> None:
        self._places = positions_of(localizer.place_map)
        self._localizer = localizer
        self._threshold = threshold
        self._ranked: list[list[int]] = []
        self._rows: list[tuple[int, int, float, float]] = []
        self._truth: list[np.ndarray] = []
        self._left_out: Counter[str] = Counter()

    def add(self, pose: Pose | None, answer: Localization, score: float | None = None) -> None:
        """Take an answer, the true pose map <- base_link of its image, and its score.

        An answer without a true pose is counted and left out. The score is by default the probability of an
        answer with a pose.
        """
        if pose is None:
            self._left_out["without a true pose"] += 1
            return
        error = np.nan
        if answer.prior:
            error = float(np.linalg.norm(answer.prior.pose.position - pose.position))
        if score is None:
            score = answer.probability if answer.prior else -np.inf
        # The matches of the answer come first, since verification may have sorted them.
        query = self._localizer.place_map.reduced(answer.descriptor[None])
        _, found = self._localizer.index.search(query, max(RECALL_AT))
        ranked = dict.fromkeys([*(match.place for match in answer.matches), *found[0].tolist()])
        self._ranked.append(list(ranked)[: max(RECALL_AT)])
        self._rows.append((answer.state, answer.place, score, error))
        self._truth.append(pose.position)

    def result(self) -> DriveResult:
        """Figures of all answers so far; raises SourceError if there are none."""
        if not self._rows:
            raise SourceError("no image has a true pose; map and drive need poses in one frame")
        truth = np.array(self._truth)
        states, named, scores, errors = (np.array(column) for column in zip(*self._rows, strict=True))
        recall = recall_by_position(np.array(self._ranked), self._places, truth, self._threshold)
        trivial = Counter({"image for which every place of the map is correct": int(recall.is_trivial.sum())})
        return DriveResult(
            recall,
            states,
            within(named[:, None], self._places, truth, self._threshold)[:, 0],
            scores,
            errors,
            self._left_out + trivial,
        )


def positions_of(place_map: PlaceMap) -> np.ndarray:
    """Positions (N, 3) of the places; raises SourceError if the map has no poses."""
    if not place_map.has_poses:
        raise SourceError(f"the map {place_map.path} has no poses, so nothing can be evaluated against it")
    return np.asarray(place_map.poses[:, :3])
