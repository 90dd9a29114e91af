"""A recorded drive goes through the localizer image by image."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError
from netvlad_core.localization.drive import localize_frames, observe_frames
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view

_FRONTS = street(seed=1, metres=80)


@pytest.fixture
def localizer(street_map: PlaceMap, extractor: Extractor) -> Localizer:
    return Localizer(street_map, extractor)


def test_broken_image_is_counted_and_the_drive_goes_on(localizer: Localizer) -> None:
    def broken() -> np.ndarray:
        raise ImageError("truncated JPEG", "image cut off")

    frames = [
        Frame("0", 0, None, lambda: view(_FRONTS, 10.0)),
        Frame("1", 1, None, broken),
        Frame("2", 2, None, lambda: view(_FRONTS, 20.0)),
    ]
    left_out: Counter[str] = Counter()
    single = localizer.with_options(replace(localizer.options, sequence_filter=False))
    answers = list(localize_frames(single, frames, left_out))
    assert [(frame.name, answer.matches[0].place) for frame, answer in answers] == [("0", 5), ("2", 10)]
    assert left_out == {"image cut off": 1}


def test_poses_of_the_frames_are_odometry_for_a_drive_alone(localizer: Localizer) -> None:
    frames = [
        Frame(str(x), x * 10**9, Pose.from_xyz_yaw(x + 500.0, 0.0), lambda x=x: view(_FRONTS, x))
        for x in range(1, 40, 2)
    ]
    observations = [seen for _, seen in observe_frames(localizer, frames, Counter())]
    assert [seen.stamp for seen in observations] == [frame.stamp for frame in frames]
    assert [seen.odometry for seen in observations] == [frame.pose for frame in frames]
    tracked = [answer for _, answer in localize_frames(localizer, frames, Counter())]
    single = localizer.with_options(replace(localizer.options, sequence_filter=False))
    alone = [answer for _, answer in localize_frames(single, frames, Counter())]
    assert all(answer.belief is not None for answer in tracked)
    assert all(answer.belief is None for answer in alone)
    assert sum(answer.prior is not None for answer in tracked) > 5
