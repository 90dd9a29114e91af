"""Views of several drives at one spot are one place with several appearances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.spots import Spots
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from support.street import street, view, write_catalogue


def _places(xs: list[float], sessions: list[int], yaws: list[float] | None = None) -> Places:
    poses = [Pose.from_xyz_yaw(x, 0.0, yaw=yaw) for x, yaw in zip(xs, yaws or [0.0] * len(xs), strict=True)]
    rows = np.array([[*pose.position, *pose.quaternion] for pose in poses])
    stamps = np.arange(len(xs))
    return Places(np.zeros((len(xs), 4)), stamps, rows, sessions=np.array(sessions, np.int32))


def test_places_of_one_drive_are_spots_each() -> None:
    spots = Spots.of_map(_places([0, 0, 0.1, 5], [0] * 4), 1.0)
    assert (spots.of.tolist(), spots.first.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_view_joins_the_nearest_spot_of_an_earlier_drive() -> None:
    places = _places([0, 1, 2, 0.9, 1.2, 3.5, 3.6], [0, 0, 0, 1, 1, 1, 2])
    spots = Spots.of_map(places, 1.0)
    assert spots.of.tolist() == [0, 1, 2, 1, 1, 3, 3]
    assert spots.first.tolist() == [0, 1, 2, 5]
    assert spots.best_views(np.array([4, 1, 6, 3, 5, 0])).tolist() == [0, 2, 5]


def test_other_heading_and_missing_pose_are_places_of_their_own() -> None:
    places = _places([0, 1, 0, 1], [0, 0, 1, 1], [0.0, 0.0, np.pi, 0.2])
    assert Spots.of_map(places, 1.0).of.tolist() == [0, 1, 2, 1]
    places.poses[3] = np.nan
    assert Spots.of_map(places, 1.0).of.tolist() == [0, 1, 2, 3]
    places.poses[:] = np.nan
    assert Spots.of_map(places, 1.0).of.tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def both(checkpoint: Path, street_map: PlaceMap, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    """The street in full light and in a quarter of it."""
    folder = tmp_path_factory.mktemp("both")
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 2), gain=0.25)
    options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
    night = build_map(CatalogueSource.from_csv(catalogue), folder / "night", options, progress=False)
    return merge([street_map, night], [Pose.identity()], folder / "both", 0)


@pytest.mark.parametrize(("gain", "session"), [(1.0, 0), (0.25, 1)])
def test_matches_are_places_and_the_view_is_that_of_the_light(
    gain: float, session: int, both: PlaceMap
) -> None:
    localizer = Localizer.open(both.path, device="cpu", options=LocalizerOptions(top_k=5))
    fronts = street(seed=1, metres=80)
    alone = localizer(view(fronts, 20.0, gain))
    assert len({match.place % 40 for match in alone.matches}) == 5
    assert alone.place == 10 + 40 * session
    for number, x in enumerate(np.arange(4.0, 70.0, 2.0)):
        image = view(fronts, x, gain)
        pose = Pose.from_xyz_yaw(x, 0.0)
        answer = localizer.track(localizer.observe(image, number * 10**9, odometry=pose))
    assert answer.state is State.LOCALIZED
    assert answer.place == 34 + 40 * session, "the best view of the place, not the first"
    assert answer.prior is not None
    assert abs(answer.prior.pose.position[0] - 68.0) < 3
    assert len({match.place % 40 for match in answer.matches}) == 5
    assert localizer.place_probabilities().shape == (80,)
