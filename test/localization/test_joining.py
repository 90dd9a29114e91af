"""Two frames joined by places seen in both; other streets are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.joining import fit_joint, join, join_in_turn
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.parts import Part, moved, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_FRAME = Pose.from_xyz_yaw(300.0, -50.0, 2.0, yaw=2.0)  # frame of the street <- frame of the second drive


@pytest.fixture(scope="module")
def evening(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    """The street in less light, between the places of the map, in a frame of its own."""
    return _built(checkpoint, tmp_path_factory.mktemp("evening"), seed=1)


def _built(checkpoint: Path, folder: Path, seed: int) -> PlaceMap:
    positions = np.arange(5.0, 75.0, 2.0)
    catalogue = write_catalogue(folder / "drive", street(seed=seed, metres=80), positions, gain=0.8)
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    built = build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)
    return write_parts([Part.of(built, joint=_FRAME.inverse())], folder / "evening", "moved", 0)


def test_frame_of_a_second_drive_is_found(street_map: PlaceMap, evening: PlaceMap) -> None:
    joint = join(Localizer.open(street_map.path, device="cpu"), evening)
    carried = moved(evening.poses, joint.pose)
    assert np.abs(carried[:, 0] - np.arange(5.0, 75.0, 2.0)).max() < 1.5
    assert np.abs(carried[:, 1:3]).max() < 1.5
    assert np.degrees(abs((joint.pose @ _FRAME.inverse()).yaw)) < 2
    assert joint.figures["agreeing"] == joint.figures["sightings"] > 10
    assert joint.figures["median_residual"] < 2


def test_other_street_is_refused(checkpoint: Path, street_map: PlaceMap, tmp_path: Path) -> None:
    other = _built(checkpoint, tmp_path, seed=2)
    with pytest.raises(MapError, match=r"of 35 places of the first are recognised in the second"):
        join(Localizer.open(street_map.path, device="cpu"), other)


def test_third_map_may_meet_the_second_only(
    checkpoint: Path, street_map: PlaceMap, evening: PlaceMap, tmp_path: Path
) -> None:
    other = _built(checkpoint, tmp_path, seed=2)
    both = write_parts([Part.of(evening), Part.of(other)], tmp_path / "both", "merge", 0)
    first, second = join_in_turn([street_map, both, other], device="cpu")
    assert np.linalg.norm(first.pose.position - _FRAME.position) < 3
    assert np.linalg.norm(second.pose.position - first.pose.position) < 1, "both hold it in one frame"


def _pairs(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Poses along a bend in the frame of the map, and the same in that of a drive."""
    angles = np.linspace(0, 2, count)
    ours = np.array([
        [*pose.position, *pose.quaternion]
        for pose in (Pose.from_xyz_yaw(40 * np.cos(a), 40 * np.sin(a), 0.0, a + np.pi / 2) for a in angles)
    ])  # fmt: skip
    return ours, moved(ours, _FRAME.inverse())


def test_false_pairs_do_not_count() -> None:
    ours, theirs = _pairs()
    rng = np.random.default_rng(0)
    ours[:, :2] += rng.normal(0, 1.0, (60, 2))
    ours[:15, :2] = rng.uniform(-100, 100, (15, 2))
    ours[15:20] = moved(ours[15:20], Pose(np.zeros(3), Pose.from_xyz_yaw(0, 0, yaw=2.0).quaternion))
    joint = fit_joint(ours, theirs)
    assert joint is not None
    assert not joint.agrees[:15].any()
    assert joint.agrees[20:].all()
    error = joint.pose @ _FRAME.inverse()
    assert (
        np.linalg.norm(moved(theirs, joint.pose)[20:, :3] - moved(theirs, _FRAME)[20:, :3], axis=1).max() < 1
    )
    assert abs(np.degrees(error.yaw)) < 1.5


def test_turned_place_does_not_agree() -> None:
    ours, theirs = _pairs()
    turned = [
        [*(Pose(row[:3], row[3:]) @ Pose.from_xyz_yaw(0, 0, yaw=np.pi)).quaternion] for row in ours[:10]
    ]
    ours[:10, 3:] = turned
    joint = fit_joint(ours, theirs)
    assert joint is not None
    assert joint.agrees.tolist() == [False] * 10 + [True] * 50


def test_few_metres_tell_no_turn() -> None:
    ours, theirs = _pairs()
    assert fit_joint(ours[:8], theirs[:8]) is None


def test_places_that_contradict_each_other_are_refused(
    street_map: PlaceMap, evening: PlaceMap, tmp_path: Path
) -> None:
    elsewhere = Part.of(evening, joint=Pose.from_xyz_yaw(40.0, 0.0, yaw=0.5))
    drive = write_parts([Part.of(evening), elsewhere], tmp_path / "torn", "merge", 0)
    with pytest.raises(MapError, match="agree on one transform"):
        join(Localizer.open(street_map.path, device="cpu"), drive)
