"""A drive held against a map: what counts, and against what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.drive import DriveJudge, DriveResult
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.tracking.sequence_filter import Belief, State
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view, write_catalogue

_FRONTS = street(seed=1, metres=80)


@pytest.fixture
def localizer(street_map: PlaceMap, extractor: Extractor) -> Localizer:
    return Localizer(street_map, extractor)


def _result(
    localizer: Localizer, xs: list[float], offset: float = 0.0, threshold: float = 25.0
) -> DriveResult:
    """Result of views at xs, whose true positions are said to be `offset` metres beside."""
    judge = DriveJudge(localizer, threshold)
    for x in xs:
        judge.add(Pose.from_xyz_yaw(x, offset), localizer(view(_FRONTS, x)))
    return judge.result()


def test_recall_and_error_of_a_known_drive(localizer: Localizer) -> None:
    result = _result(localizer, [5.0, 31.0, 55.0], threshold=5)
    assert result.recall.at() == {1: 1.0, 5: 1.0, 10: 1.0, 20: 1.0}
    assert (result.recall.has_positive.all(), result.is_correct.all()) == (True, True)
    errors = result.position_errors[np.isfinite(result.position_errors)]
    assert len(errors) == result.counts()["LOCALIZED"] == np.isfinite(result.scores).sum() > 0
    assert errors.max() < 4


def test_a_drive_on_a_reduced_map_is_judged(checkpoint: Path, extractor: Extractor, tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "drive", _FRONTS, range(0, 80, 2))
    options = BuildOptions(weights=checkpoint, device="cpu", dimension=16, store_features="none")
    place_map = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "map", options, progress=False)
    assert place_map.header.is_reduced
    result = _result(Localizer(place_map, extractor), [5.0, 31.0, 55.0], threshold=5)
    assert result.recall.at()[1] == 1.0


def test_place_at_the_threshold_is_correct_and_beyond_it_wrong(localizer: Localizer) -> None:
    result = _result(localizer, [30.0], offset=25.0)
    assert (result.recall.at()[1], result.is_correct[0]) == (1.0, True)
    result = _result(localizer, [30.0], offset=25.0, threshold=24.9)
    assert (result.recall.at()[10], result.is_correct[0], result.recall.has_positive[0]) == (
        0.0,
        False,
        False,
    )


def test_a_threshold_wider_than_the_map_tells_nothing(localizer: Localizer) -> None:
    result = _result(localizer, [30.0, 40.0], threshold=100)
    assert result.recall.is_trivial.all()
    assert result.recall.at()[1] == 0.0
    assert len(result.curve().precision) == 0


def test_without_a_true_pose_nothing_can_be_said(localizer: Localizer) -> None:
    with pytest.raises(SourceError, match="no image has a true pose"):
        DriveJudge(localizer).result()


def test_the_place_that_a_tracked_answer_names_is_judged(localizer: Localizer) -> None:
    """The filter believes in the drive, whatever this one image looks like."""
    answer = localizer(view(_FRONTS, 10.0))
    belief = Belief(State.LOCALIZED, 1.0, place=30, probability=0.97, is_reversed=False)
    judge = DriveJudge(localizer, threshold=5)
    judge.add(Pose.from_xyz_yaw(60.0, 0.0), replace(answer, belief=belief))
    result = judge.result()
    assert (result.is_correct[0], result.scores[0], result.recall.at()[1]) == (True, 0.97, 0.0)
