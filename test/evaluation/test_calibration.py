"""Thresholds out of precision/recall curves, and the scores of a drive."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.calibration import propose, score_drive
from netvlad_core.evaluation.precision_recall import precision_recall
from netvlad_core.localization.localizer import Localizer, localize_frames
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view


def test_proposal_keeps_the_default_without_a_mistake_and_accepts_nothing_without_success() -> None:
    everything = np.ones(4, bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert propose(precision_recall(scores, everything, everything), 0.99, default=0.5) == 0.5
    assert propose(precision_recall(scores, ~everything, everything), 0.99, default=0.5) == 1.0
    mixed = precision_recall(scores, np.array([True, True, False, True]), everything)
    assert propose(mixed, 0.99, default=0.5) == pytest.approx(0.75)  # as far from 0.8 as from 0.7
    assert propose(mixed, 0.75, default=0.5) == 0.6


def test_the_localizer_stays_as_it_was_and_its_own_options_count(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    localizer = Localizer(street_map, extractor)
    fronts = street(seed=1, metres=80)
    frames = [
        Frame(str(x), x * 10**9, Pose.from_xyz_yaw(float(x), 0.0), lambda x=x: view(fronts, x))
        for x in range(1, 40, 2)
    ]
    before = localizer.options
    usual = score_drive(localizer, frames, Counter(), threshold=5.0)
    assert list(usual) == ["min_similarity", "min_belief"]
    assert usual["min_belief"].is_correct.mean() > 0.8
    assert localizer.options is before
    deaf = localizer.with_options(replace(before, sequence=replace(before.sequence, sharpness=0.0)))
    assert (
        score_drive(deaf, frames, Counter(), 5.0)["min_belief"].scores.max()
        < usual["min_belief"].scores.max()
    )


def test_frames_without_a_pose_take_part_but_are_not_judged(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    fronts, left_out = street(seed=1, metres=80), Counter[str]()
    frames = [Frame(str(x), x * 10**9, None, lambda x=x: view(fronts, x)) for x in range(3)]
    frames.append(Frame("3", 3 * 10**9, Pose.from_xyz_yaw(3.0, 0.0), lambda: view(fronts, 3.0)))
    result = score_drive(Localizer(street_map, extractor), frames, left_out)
    for judged in result.values():
        assert len(judged.scores) == 1
        assert judged.left_out == {"without a true pose": 3}
    assert not left_out


def test_a_threshold_accepts_what_the_filter_localizes_with_it(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    """Also where the state, once entered, lasts below the threshold: on leaving the map."""
    drives = [(street(seed=1, metres=80), 0.0, 70), (street(seed=9, metres=40), 1000.0, 40)]
    frames = [
        Frame(
            f"{seed_x}{x}",
            int(seed_x + x) * 10**9,
            Pose.from_xyz_yaw(seed_x + x, 0.0),
            lambda x=x, fronts=fronts: view(fronts, x),
        )
        for fronts, seed_x, end in drives
        for x in range(1, end, 2)
    ]
    localizer = Localizer(street_map, extractor)
    scores = score_drive(localizer, frames, Counter(), 5.0)["min_belief"].scores
    for min_belief in (0.1, 0.3, 0.5, 0.7, 0.9, float(np.median(scores[np.isfinite(scores)]))):
        options = localizer.options
        sequence = replace(options.sequence, min_belief=min_belief)
        runs = localizer.with_options(replace(options, sequence=sequence))
        runs.forget()
        answers = [answer for _, answer in localize_frames(runs, frames, Counter())]
        localized = [answer.prior is not None for answer in answers]
        assert localized == (scores >= min_belief).tolist()
        assert any(localized)
