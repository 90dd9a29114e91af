"""A drive held against a map: what counts, and against what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.evaluation.drive import evaluate_drive, localize_frames
from netvlad_core.localization.localizer import Localization, Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view

_FRONTS = street(seed=1, metres=80)


@pytest.fixture
def localizer(street_map: PlaceMap, extractor: Extractor) -> Localizer:
    return Localizer(street_map, extractor)


def _answers(localizer: Localizer, xs: list[float], offset: float = 0.0) -> list[tuple[Pose, Localization]]:
    """Answers to views at xs, whose true positions are said to be `offset` metres beside."""
    return [(Pose.from_xyz_yaw(x, offset), localizer(view(_FRONTS, x))) for x in xs]


def test_recall_and_error_of_a_known_drive(localizer: Localizer) -> None:
    result = evaluate_drive(localizer.place_map, _answers(localizer, [5.0, 31.0, 55.0]), threshold=5)
    assert (result.queries, result.without_positive) == (3, 0)
    assert result.recall[1] == 1.0
    assert len(result.position_errors) == result.states["LOCALIZED"]
    assert result.position_errors.max() < 4


def test_place_at_the_threshold_is_correct_and_beyond_it_wrong(localizer: Localizer) -> None:
    answers = _answers(localizer, [30.0], offset=25.0)
    assert evaluate_drive(localizer.place_map, answers, threshold=25).recall[1] == 1.0
    result = evaluate_drive(localizer.place_map, answers, threshold=24.9)
    assert (result.recall[10], result.without_positive) == (0.0, 1)


def test_queries_without_pose_are_left_out_of_the_denominator(localizer: Localizer) -> None:
    answers = [*_answers(localizer, [30.0]), (None, localizer(view(_FRONTS, 40.0)))]
    result = evaluate_drive(localizer.place_map, answers)
    assert (result.queries, result.recall[1]) == (1, 1.0)
    assert result.left_out == {"without a true pose": 1}
    with pytest.raises(SourceError, match="no query has a true pose"):
        evaluate_drive(localizer.place_map, answers[1:])


def test_broken_image_is_counted_and_the_drive_goes_on(localizer: Localizer) -> None:
    def broken() -> np.ndarray:
        raise ImageError("truncated JPEG", "image cut off")

    frames = [
        Frame("0", 0, None, lambda: view(_FRONTS, 10.0)),
        Frame("1", 1, None, broken),
        Frame("2", 2, None, lambda: view(_FRONTS, 20.0)),
    ]
    left_out: Counter[str] = Counter()
    answers = list(localize_frames(localizer, frames, left_out))
    assert [(frame.name, answer.matches[0].place) for frame, answer in answers] == [("0", 5), ("2", 10)]
    assert left_out == {"image cut off": 1}
