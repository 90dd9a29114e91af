"""What the localizer says about an image, and that it says nothing when it is not sure."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import CheckpointError, ImageError, MapError
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.localizer import Localizer, localize_frames
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.observation import Observation, observe_frames
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.localization.tracking.sequence_options import SequenceOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view, write_catalogue


@pytest.fixture
def localizer(street_map: PlaceMap, extractor: Extractor) -> Localizer:
    return Localizer(street_map, extractor)


def test_known_place_is_localized_where_it_is(localizer: Localizer) -> None:
    answer = localizer(view(street(seed=1, metres=80), 31.0, gain=0.8), stamp=7)
    assert (answer.state, answer.stamp) == (State.LOCALIZED, 7)
    assert answer.prior is not None
    assert np.linalg.norm(answer.prior.pose.position - [31.0, 0, 0]) < 4
    assert [match.similarity for match in answer.matches] == sorted(
        (match.similarity for match in answer.matches), reverse=True
    )
    assert answer.matches[0].pose is not None
    assert answer.matches[0].pose.position[0] == 2.0 * answer.matches[0].place


def test_unmapped_street_gives_no_pose(localizer: Localizer) -> None:
    localizer = localizer.with_options(LocalizerOptions(min_similarity=0.7))
    elsewhere = street(seed=99, metres=40)
    answers = [localizer(view(elsewhere, x)) for x in range(0, 40, 5)]
    assert {answer.state for answer in answers} == {State.LOST}
    assert all(answer.prior is None and answer.matches for answer in answers)


def test_two_places_that_look_the_same_are_ambiguous(
    checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    """The same fronts stand twice, 500 m apart."""
    fronts = street(seed=1, metres=20)
    here = write_catalogue(tmp_path / "here", fronts, range(0, 20, 2)).read_text().splitlines()
    there = write_catalogue(tmp_path / "there", fronts, range(0, 20, 2), first_x=500).read_text().splitlines()
    both = [here[0], *(f"here/{row}" for row in here[1:]), *(f"there/{row}" for row in there[1:])]
    (tmp_path / "both.csv").write_text("\n".join(both))
    source = CatalogueSource.from_csv(tmp_path / "both.csv")
    place_map = build_map(
        source, tmp_path / "map", BuildOptions(weights=checkpoint, device="cpu", store_features="none"), False
    )
    answer = Localizer(place_map, extractor, LocalizerOptions(min_similarity=0.0, min_agreement=0.6))(
        view(fronts, 9.0)
    )
    assert (answer.state, answer.prior) == (State.AMBIGUOUS, None)


def _track(
    localizer: Localizer, fronts: np.ndarray, xs: range, has_odometry: bool = True
) -> list[Localization]:
    """Answers to views along a street, a second apart; odometry starts where it likes."""
    return [
        localizer.track(
            localizer.observe(
                view(fronts, x, gain=0.8),
                second * 10**9,
                Pose.from_xyz_yaw(x - 7, 3) if has_odometry else None,
            )
        )
        for second, x in enumerate(xs)
    ]


@pytest.mark.parametrize("has_odometry", [True, False], ids=["odometry", "time"])
def test_tracked_drive_is_silent_first_and_right_then(localizer: Localizer, has_odometry: bool) -> None:
    xs = range(1, 79, 2)
    answers = _track(localizer, street(seed=1, metres=80), xs, has_odometry)
    assert answers[0].state is State.LOST
    assert [answer.state for answer in answers[-15:]] == [State.LOCALIZED] * 15
    for answer, x in zip(answers, xs, strict=True):
        assert (answer.prior is not None) == (answer.state is State.LOCALIZED)
        if answer.prior:
            assert np.linalg.norm(answer.prior.pose.position - [x, 0, 0]) < 6
    localizer.forget()
    again = localizer.observe(view(street(seed=1, metres=80), 79), 10**12)
    assert localizer.track(again).state is State.LOST


def test_camera_that_sees_the_same_picture_again_and_again_learns_nothing(localizer: Localizer) -> None:
    image = view(street(seed=1, metres=80), 31.0)
    answers = [localizer.track(localizer.observe(image, second * 10**9)) for second in range(60)]
    assert {answer.state for answer in answers} == {State.LOST}


def test_tracked_drive_through_an_unmapped_street_gives_no_pose(localizer: Localizer) -> None:
    answers = _track(localizer, street(seed=99, metres=80), range(80))
    assert all(answer.prior is None for answer in answers)


def test_descriptor_that_is_not_finite_is_refused_and_leaves_no_trace(localizer: Localizer) -> None:
    with pytest.raises(ImageError, match="finite"):
        localizer.track(Observation(0, np.full(localizer.extractor.dimension, np.nan, np.float32)))
    answers = _track(localizer, street(seed=1, metres=80), range(1, 79, 2))
    assert answers[-1].state is State.LOCALIZED


def test_pose_of_a_robot_that_faces_the_other_way_is_turned_round(localizer: Localizer) -> None:
    """As with a camera that sees the same fronts from both directions."""
    fronts = street(seed=1, metres=80)
    for second, x in enumerate(range(79, 1, -2)):
        seen = localizer.observe(view(fronts, x), second * 10**9, Pose.from_xyz_yaw(-x, 0.0))
        answer = localizer.track(seen)
    assert answer.prior is not None
    assert abs(answer.prior.pose.yaw) == pytest.approx(np.pi, abs=0.1)


def test_answer_names_one_place_its_probability_and_why_there_is_no_pose(localizer: Localizer) -> None:
    fronts = street(seed=1, metres=80)
    alone = localizer(view(fronts, 31.0))
    assert alone.prior is not None
    assert (alone.place, alone.probability, alone.reason) == (
        alone.matches[0].place,
        alone.prior.agreement,
        "",
    )
    lost = localizer.with_options(LocalizerOptions(min_similarity=1.0))(view(fronts, 31.0))
    assert (lost.probability, "similar enough" in lost.reason) == (0.0, True)
    unsure = localizer.with_options(
        LocalizerOptions(min_agreement=1.0, min_similarity=-1.0, agreement_radius=0.5)
    )(view(fronts, 31.0))
    assert "disagree" in unsure.reason
    first, *_, last = _track(localizer, fronts, range(1, 60, 2))
    assert first.belief is not None
    assert first.probability == first.belief.probability < 0.9
    assert "not enough evidence" in first.reason
    assert (last.reason, abs(last.place - 29) <= 2, last.probability > 0.9) == ("", True, True)


def test_place_is_the_believed_one_though_another_matches_best(localizer: Localizer) -> None:
    """One image shows a house of the far end of the street; the drive says otherwise."""
    fronts = street(seed=1, metres=80)
    _track(localizer, fronts, range(1, 40, 2))
    wrong = localizer.observe(view(fronts, 71.0), 20 * 10**9, Pose.from_xyz_yaw(41 - 7, 3))
    answer = localizer.track(wrong)
    assert answer.matches[0].place > 30
    assert abs(answer.place - 20) <= 2


def test_other_options_keep_map_index_and_drive_and_leave_the_first_alone(localizer: Localizer) -> None:
    fronts = street(seed=1, metres=80)
    before = _track(localizer, fronts, range(1, 60, 2))[-1]
    stricter = localizer.with_options(LocalizerOptions(sequence=SequenceOptions(min_belief=1.0)))
    assert stricter.index is localizer.index
    observation = localizer.observe(view(fronts, 61.0), 30 * 10**9, Pose.from_xyz_yaw(61 - 7, 3))
    strict, usual = stricter.track(observation), localizer.track(observation)
    assert (before.state, usual.state, strict.state) == (State.LOCALIZED, State.LOCALIZED, State.AMBIGUOUS)
    assert strict.probability == usual.probability
    assert localizer.with_options(localizer.options) is localizer


def test_robot_that_leaves_the_map_is_told_so(localizer: Localizer) -> None:
    _track(localizer, street(seed=1, metres=80), range(1, 60, 2))
    unknown = street(seed=99, metres=80)
    answers = [
        localizer.track(
            localizer.observe(view(unknown, x), (30 + second) * 10**9, Pose.from_xyz_yaw(60 + x, 3))
        )
        for second, x in enumerate(range(1, 79, 2))
    ]
    assert answers[-1].state is State.LOST
    assert "left" in answers[-1].reason


def test_threshold_is_the_maps_own_unless_given(localizer: Localizer) -> None:
    assert localizer.min_similarity == localizer.place_map.header.similarity_threshold
    localizer = localizer.with_options(LocalizerOptions(min_similarity=1.0))
    assert localizer.min_similarity == 1.0
    assert localizer(view(street(seed=1, metres=80), 31.0)).state is State.LOST


def test_map_without_poses_gives_places_but_no_pose(
    checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    catalogue = write_catalogue(tmp_path / "drive", street(seed=1, metres=20), range(0, 20, 2))
    catalogue.unlink()
    options = BuildOptions(weights=checkpoint, device="cpu", require_poses=False, store_features="none")
    place_map = build_map(CatalogueSource.from_folder(tmp_path / "drive"), tmp_path / "map", options, False)
    answer = Localizer(place_map, extractor)(view(street(seed=1, metres=20), 10.0))
    assert answer.matches[0].place == 5
    assert answer.prior is None
    assert answer.state is State.AMBIGUOUS
    assert answer.reason == "the map has no poses"


def test_top_k_beyond_the_map_gives_all_places(localizer: Localizer) -> None:
    localizer = localizer.with_options(LocalizerOptions(top_k=1000))
    assert len(localizer(view(street(seed=1, metres=80), 31.0)).matches) == len(localizer.place_map)


@pytest.mark.parametrize("image", [np.zeros((0, 0, 3), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_what_is_no_image_is_refused(localizer: Localizer, image: np.ndarray) -> None:
    with pytest.raises(ImageError):
        localizer(image)


def test_open_names_the_network_that_is_gone(street_map: PlaceMap, checkpoint: Path, tmp_path: Path) -> None:
    copied = tmp_path / "weights.safetensors"
    shutil.copy(checkpoint, copied)
    catalogue = write_catalogue(tmp_path / "drive", street(seed=1, metres=10), range(0, 10, 2))
    place_map = build_map(
        CatalogueSource.from_csv(catalogue),
        tmp_path / "map",
        BuildOptions(weights=copied, device="cpu", store_features="none"),
        False,
    )
    assert place_map.network_path == copied
    copied.unlink()
    with pytest.raises(CheckpointError, match=rf"{place_map.header.model_id}.*weights\.safetensors"):
        Localizer.open(tmp_path / "map")
    named = Localizer.open(tmp_path / "map", checkpoint)
    assert named(view(street(seed=1, metres=10), 4.0)).matches[0].place == 2


def test_map_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no map"):
        Localizer.open(tmp_path / "nowhere")


def test_broken_image_is_counted_and_the_drive_goes_on(localizer: Localizer) -> None:
    fronts = street(seed=1, metres=80)

    def broken() -> np.ndarray:
        raise ImageError("truncated JPEG", "image cut off")

    frames = [
        Frame("0", 0, None, lambda: view(fronts, 10.0)),
        Frame("1", 1, None, broken),
        Frame("2", 2, None, lambda: view(fronts, 20.0)),
    ]
    left_out: Counter[str] = Counter()
    single = localizer.with_options(replace(localizer.options, sequence_filter=False))
    answers = list(localize_frames(single, frames, left_out))
    assert [(frame.name, answer.matches[0].place) for frame, answer in answers] == [("0", 5), ("2", 10)]
    assert left_out == {"image cut off": 1}


def test_poses_of_the_frames_are_odometry_for_a_drive_alone(localizer: Localizer) -> None:
    fronts = street(seed=1, metres=80)
    frames = [
        Frame(str(x), x * 10**9, Pose.from_xyz_yaw(x + 500.0, 0.0), lambda x=x: view(fronts, x))
        for x in range(1, 40, 2)
    ]
    observations = [seen for _, seen in observe_frames(localizer.observe, frames, Counter())]
    assert [seen.stamp for seen in observations] == [frame.stamp for frame in frames]
    assert [seen.odometry for seen in observations] == [frame.pose for frame in frames]
    tracked = [answer for _, answer in localize_frames(localizer, frames, Counter())]
    single = localizer.with_options(replace(localizer.options, sequence_filter=False))
    alone = [answer for _, answer in localize_frames(single, frames, Counter())]
    assert all(answer.belief is not None for answer in tracked)
    assert all(answer.belief is None for answer in alone)
    assert sum(answer.prior is not None for answer in tracked) > 5
