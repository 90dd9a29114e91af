"""Which frames become places."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import SourceError
from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule, sample_frames, select_keyframes, step_of
from support.street import street, write_catalogue

_SECOND = 10**9


def _frames(poses: Iterable[Pose | None], rate: float = 10.0) -> list[Frame]:
    return [
        Frame(
            str(index), 10**18 + round(index * _SECOND / rate), pose, lambda: np.zeros((32, 32, 3), np.uint8)
        )
        for index, pose in enumerate(poses)
    ]


def _chosen(poses: Iterable[Pose | None], rule: KeyframeRule) -> list[int]:
    return [int(frame.name) for frame in select_keyframes(_frames(poses), rule)]


def test_distance_counts_from_the_last_keyframe_and_a_stop_adds_none() -> None:
    xs = [0.0, 0.4, 0.8, 1.2, *[1.2] * 50, 2.0, 2.3]
    assert _chosen((Pose.from_xyz_yaw(x, 0.0) for x in xs), KeyframeRule(1.0, None)) == [0, 3, 55]


def test_a_turn_on_the_spot_gives_places_across_the_seam_of_angles() -> None:
    degrees = [170, 175, 180, -175, -170, -165, -160, -155]
    poses = (Pose.from_xyz_yaw(0.0, 0.0, yaw=np.radians(angle)) for angle in degrees)
    assert _chosen(poses, KeyframeRule(None, 14.9)) == [0, 3, 6]


def test_time_alone_needs_no_pose() -> None:
    assert _chosen([None] * 25, KeyframeRule(None, None, time=1.0)) == [0, 10, 20]


def test_frames_without_pose_are_passed_over_until_there_is_one() -> None:
    poses = [None, None, Pose.identity(), Pose.from_xyz_yaw(0.1, 0.0), None, Pose.from_xyz_yaw(5.0, 0.0)]
    assert _chosen(poses, KeyframeRule(1.0, 15.0)) == [0, 2, 5]


def test_clock_that_jumps_back_starts_anew() -> None:
    frames = _frames([None] * 4, rate=1.0)
    jumped = [frames[3], frames[0], frames[1]]
    assert [f.name for f in select_keyframes(jumped, KeyframeRule(None, None, 2.0))] == ["3", "0"]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_rule_that_keeps_all(count: int) -> None:
    assert _chosen([Pose.identity()] * count, KEEP_ALL) == list(range(count))


@pytest.mark.parametrize(("count", "step"), [(0, 1), (1, 1), (500, 1), (501, 2), (1000, 2), (1001, 3)])
def test_step_takes_at_most_so_many(count: int, step: int) -> None:
    assert step_of(count) == step
    assert len(range(0, count, step)) <= 500


def test_sample_passes_over_broken_images(tmp_path: Path) -> None:
    path = write_catalogue(tmp_path, street(seed=1, metres=20), range(0, 20, 2))
    files = sorted(path.parent.rglob("*.png")) + sorted(path.parent.rglob("*.jpg"))
    source = CatalogueSource.from_csv(path)
    assert len(list(sample_frames(source, KEEP_ALL, progress=False, most=5)())) == 5
    files[0].write_bytes(b"?")
    assert len(list(sample_frames(source, KEEP_ALL, progress=False)())) == 9
    for file in files:
        file.write_bytes(b"?")
    said = r"no image of catalogue .* could be used: damaged image or no picture \(10 times\)"
    with pytest.raises(SourceError, match=said):
        list(sample_frames(source, KEEP_ALL, progress=False)())
