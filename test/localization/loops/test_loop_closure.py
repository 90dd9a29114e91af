"""Returns to a place: found where look and odometry agree, and not where only one of them speaks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, MapError
from netvlad_core.geometry.local_features import find_features, no_features
from netvlad_core.localization.loops.loop_closure import LoopCloser, LoopClosure
from netvlad_core.localization.loops.loop_options import VERIFICATION, LoopClosureOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.map_writer import write_places, writing_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap
from netvlad_core.mapping.places import Places
from support.street import street, view

_DIMENSION = 64
_SECOND = 10**9
_SIDE = 30  # metres; one keyframe a metre


def _square(laps: float, reverse: bool = False) -> list[Pose]:
    """Poses a metre apart around a square, heading along the way."""
    poses = []
    for step in range(round(4 * _SIDE * laps)):
        side, along = divmod(step % (4 * _SIDE), _SIDE)
        corner = np.array([[0, 0], [_SIDE, 0], [_SIDE, _SIDE], [0, _SIDE]])[side]
        direction = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[side]
        x, y = corner + along * direction
        poses.append(Pose.from_xyz_yaw(float(x), float(y), yaw=np.pi / 2 * side))
    return [pose @ Pose.from_xyz_yaw(0, 0, yaw=np.pi) for pose in reversed(poses)] if reverse else poses


class World:
    """What a camera sees: a smooth random function of the position, the same whichever way it looks."""

    def __init__(self, seed: int = 0, noise: float = 0.3) -> None:
        self._random = np.random.default_rng(seed)
        self._places: dict[tuple[int, int, int], np.ndarray] = {}
        self._noise = noise

    def see(self, pose: Pose, seed: int = 0) -> np.ndarray:
        """Descriptor (D,): the looks of the four surrounding points of a 3 m grid, mixed by nearness."""
        x, y = pose.position[:2] / 3
        corner = np.floor([x, y]).astype(int)
        total = np.zeros(_DIMENSION)
        for dx in (0, 1):
            for dy in (0, 1):
                weight = max(0, 1 - abs(x - corner[0] - dx)) * max(0, 1 - abs(y - corner[1] - dy))
                total += weight * self._look(corner[0] + dx, corner[1] + dy, seed)
        total += self._noise * self._random.normal(size=_DIMENSION)
        return (total / np.linalg.norm(total)).astype(np.float32)

    def _look(self, x: int, y: int, seed: int) -> np.ndarray:
        key = (int(x), int(y), seed)
        if key not in self._places:
            self._places[key] = np.random.default_rng([abs(v) * 2 + (v < 0) for v in key]).normal(
                size=_DIMENSION
            )
        return self._places[key]


def _drive(
    closer: LoopCloser, poses: list[Pose], looks: list[np.ndarray], start: int = 10**18
) -> list[LoopClosure]:
    closures = [
        closer.add(Observation(start + step * _SECOND, look, pose))
        for step, (pose, look) in enumerate(zip(poses, looks, strict=True))
    ]
    return [closure for closure in closures if closure is not None]


def _as_map(folder: Path, poses: list[Pose], looks: list[np.ndarray], start: int) -> PlaceMap:
    header = MapHeader(model_id="model@0", frame_id="map", source="first drive")
    with writing_map(folder, header) as new:
        rows = np.array([[*pose.position, *pose.quaternion] for pose in poses])
        stamps = start + np.arange(len(poses)) * _SECOND
        write_places(new, Places(np.array(looks), stamps, rows), [str(stamp) for stamp in stamps])
    return PlaceMap.open(folder)


@pytest.mark.parametrize("start", [10**18, 2 * 10**18])  # its stamps are before or after those of the drive
def test_drive_joins_an_earlier_map_and_extends_it(tmp_path: Path, start: int) -> None:
    world, lap = World(), _square(1)
    earlier = _as_map(tmp_path / "map", lap, [world.see(pose) for pose in lap], start)
    onward = [Pose.from_xyz_yaw(-float(x), 0.0, yaw=np.pi) for x in range(1, 20)]  # leaves the square
    true = [*lap, *onward]
    odom = Pose.from_xyz_yaw(300.0, -70.0, yaw=2.0)  # odom <- map, in which the robot has no part
    closer = LoopCloser(earlier=earlier)
    begin = 15 * 10**17
    closures = _drive(closer, [odom @ pose for pose in true], [world.see(pose) for pose in true], begin)
    joined = [closure for closure in closures if closure.from_id < len(lap)]
    assert len(joined) > 10
    for closure in joined:
        assert closure.from_stamp == start + closure.from_id * _SECOND
        here = true[(closure.to_stamp - begin) // _SECOND]
        error = closure.relative.position - (lap[closure.from_id].inverse() @ here).position
        assert np.linalg.norm(error) < 3
    extended = closer.keyframes()
    np.testing.assert_array_equal(extended.poses[: len(lap)], earlier.poses)
    np.testing.assert_array_equal(extended.descriptors[: len(lap)], earlier.descriptors)
    steps = (extended.stamps[len(lap) :] - begin) // _SECOND
    assert len(steps) > len(true) // 3
    errors = extended.poses[len(lap) :, :3] - [true[step].position for step in steps]
    assert np.linalg.norm(errors, axis=1).max() < 5


def test_drive_elsewhere_is_not_joined(tmp_path: Path) -> None:
    world, lap = World(), _square(1)
    earlier = _as_map(tmp_path / "map", lap, [world.see(pose) for pose in lap], 10**18)
    closer = LoopCloser(earlier=earlier)
    with pytest.raises(MapError, match="no keyframe"):
        closer.keyframes()
    assert not _drive(closer, lap, [world.see(pose, seed=1) for pose in lap], 2 * 10**18)
    with pytest.raises(MapError, match="drive where it was recorded first"):
        closer.keyframes()


def test_keyframes_of_a_drive_are_where_odometry_says() -> None:
    world, poses = World(), _square(1)
    closer = LoopCloser()
    _drive(closer, poses, [world.see(pose) for pose in poses])
    kept = closer.keyframes()
    np.testing.assert_allclose(kept.poses[:, :3], [pose.position for pose in poses], atol=1e-9)
    assert kept.stamps[0] == 10**18


def test_second_lap_closes_on_the_first() -> None:
    world, poses = World(), _square(2)
    closures = _drive(LoopCloser(), poses, [world.see(pose) for pose in poses])
    assert len(closures) > 20
    for closure in closures:
        assert closure.to_id - closure.from_id == pytest.approx(4 * _SIDE, abs=2)
        assert closure.from_stamp == 10**18 + closure.from_id * _SECOND
        assert closure.to_stamp == 10**18 + closure.to_id * _SECOND
        true = poses[closure.from_id].inverse() @ poses[closure.to_id]
        error = closure.relative.position - true.position
        assert error @ np.linalg.solve(closure.covariance[:3, :3], error) < 12
        assert np.linalg.norm(error) < 3
        np.testing.assert_allclose(closure.covariance, closure.covariance.T, atol=1e-12)
        assert (np.linalg.eigvalsh(closure.covariance) > 0).all()


def test_covariance_is_given_about_the_axes_of_the_earlier_pose() -> None:
    """Across the way the position is less certain than along, on each of the four sides."""
    world, poses = World(noise=0.1), _square(2)
    closures = _drive(LoopCloser(), poses, [world.see(pose) for pose in poses])
    middle = [closure for closure in closures if 8 < closure.from_id % _SIDE < _SIDE - 8]
    assert {closure.from_id // _SIDE for closure in middle} == {0, 1, 2, 3}
    for closure in middle:
        assert closure.covariance[1, 1] > 1.05 * closure.covariance[0, 0]


def test_drift_of_the_odometry_does_not_hide_the_return() -> None:
    world, poses = World(), _square(2)
    turned = [Pose.from_xyz_yaw(0, 0, yaw=0.002 * step) @ pose for step, pose in enumerate(poses)]
    closures = _drive(LoopCloser(), turned, [world.see(pose) for pose in poses])
    assert len(closures) > 10
    assert all(abs(c.to_id - c.from_id - 4 * _SIDE) <= 2 for c in closures)


def test_opposite_direction_is_found_where_the_camera_sees_all_around() -> None:
    world, poses = World(), [*_square(1), *_square(1, reverse=True)]
    closures = _drive(LoopCloser(), poses, [world.see(pose) for pose in poses])
    assert closures
    for closure in closures:
        distance = poses[closure.from_id].position - poses[closure.to_id].position
        assert np.linalg.norm(distance) < 4
    assert any(abs(abs(closure.relative.yaw) - np.pi) < 0.3 for closure in closures)


def test_new_streets_never_close() -> None:
    world = World()
    poses = [Pose.from_xyz_yaw(float(x), 0) for x in range(600)]
    assert not _drive(LoopCloser(), poses, [world.see(pose) for pose in poses])


def test_one_building_that_stands_twice_is_no_return() -> None:
    """Places 300 to 304 look like 50 to 54; those before and after do not."""
    world = World(noise=0.1)
    poses = [Pose.from_xyz_yaw(float(x), 0) for x in range(400)]
    looks = [world.see(pose) for pose in poses]
    looks[300:305] = looks[50:55]
    assert not _drive(LoopCloser(), poses, looks)


def test_two_streets_that_look_alike_are_not_chosen_between() -> None:
    world = World(noise=0.1)
    poses = [Pose.from_xyz_yaw(float(x), 0) for x in range(500)]
    looks = [world.see(pose) for pose in poses]
    looks[200:260] = looks[40:100]  # closes, for nothing tells that this is another street
    assert _drive(LoopCloser(), poses[:260], looks[:260])
    looks[400:460] = looks[40:100]
    after = _drive(LoopCloser(), poses, looks)
    assert all(closure.to_id < 262 for closure in after)


def test_standing_still_and_the_last_metres_are_left_out() -> None:
    world = World()
    closer = LoopCloser()
    here = Pose.from_xyz_yaw(0, 0)
    assert not _drive(closer, [here] * 200, [world.see(here) for _ in range(200)])
    assert len(closer) == 1
    assert not closer.wants(here)
    to_and_fro = [Pose.from_xyz_yaw(float(x), 0) for x in [*range(14), *range(14, 0, -1)]]
    assert not _drive(LoopCloser(), to_and_fro, [world.see(pose) for pose in to_and_fro])


def test_memory_is_bounded_and_ids_stay_true() -> None:
    world, poses = World(), _square(3)
    options = replace(LoopClosureOptions(), most_keyframes=150)
    closer = LoopCloser(options)
    closures = []
    for step, pose in enumerate(poses):
        closure = closer.add(Observation(10**18 + step * _SECOND, world.see(pose), pose))
        assert len(closer) <= 150
        closures += [closure] if closure is not None else []
    stamps = {10**18 + step * _SECOND: pose for step, pose in enumerate(poses)}
    assert closures
    for closure in closures:
        distance = stamps[closure.from_stamp].position - stamps[closure.to_stamp].position
        assert np.linalg.norm(distance) < 4
    assert any(closure.to_stamp > 10**18 + 200 * _SECOND for closure in closures)


def test_clock_that_is_reset_begins_a_new_drive() -> None:
    world, poses = World(), _square(1)
    looks = [world.see(pose) for pose in poses]
    closer = LoopCloser()
    assert not _drive(closer, poses, looks)
    assert not _drive(closer, poses, looks, start=10**17)
    assert len(closer) == len(poses)
    assert closer.next_id == 2 * len(poses), "no number is given twice"


def test_descriptor_that_is_not_finite_is_refused_and_leaves_no_trace() -> None:
    """A GPU that fails gives such ones."""
    world, poses = World(), _square(2)
    closer = LoopCloser()
    closures = []
    for step, pose in enumerate(poses):
        if step == 40:
            broken = np.full(_DIMENSION, np.nan, np.float32)
            with pytest.raises(ImageError, match="not finite"):
                closer.add(Observation(10**18 + step * _SECOND, broken, pose))
        closures.append(closer.add(Observation(10**18 + step * _SECOND, world.see(pose), pose)))
    assert sum(closure is not None for closure in closures) > 10


# --- Geometry -----------------------------------------------------------------------------------------------


def _observe(stamp: int, descriptor: np.ndarray, pose: Pose, image: np.ndarray) -> Observation:
    return Observation(stamp, descriptor, pose, find_features(image))


def _short_return(verifies: bool, seed: int = 0) -> list[LoopClosure]:
    """Once around the square and 6 m on, with images; the second street is of another seed where asked."""
    world, poses = World(), _square(1 + 6 / (4 * _SIDE))[::2]
    first, second = (street(seed=s, metres=4 * _SIDE) for s in (0, seed))
    count = len(poses) - 3
    images = [view(first, 2.0 * step) for step in range(count)]
    images += [view(second, 2.0 * step, gain=0.8) for step in range(3)]
    verification = VERIFICATION if verifies else None
    closer = LoopCloser(LoopClosureOptions(window=30.0, verification=verification))
    closures = [
        closer.add(_observe(10**18 + step * _SECOND, world.see(pose), pose, image), image)
        for step, (pose, image) in enumerate(zip(poses, images, strict=True))
    ]
    return [closure for closure in closures if closure is not None]


def test_short_return_closes_by_geometry_only() -> None:
    assert not _short_return(verifies=False)
    closures = _short_return(verifies=True)
    assert closures
    for closure in closures:
        assert closure.to_id - closure.from_id == pytest.approx(2 * _SIDE, abs=1)
        assert closure.inliers >= 40
        assert np.sqrt(closure.covariance[0, 0]) > 4  # no calibration: the distance is not known


def test_drive_learns_what_inliers_are_worth() -> None:
    """Blank images have none, so that ten are much."""
    world, poses = World(), [Pose.from_xyz_yaw(float(x), 0) for x in range(60)]
    closer = LoopCloser(LoopClosureOptions(verification=VERIFICATION))
    for step, pose in enumerate(poses):
        observation = Observation(10**18 + step * _SECOND, world.see(pose), pose, no_features("xfeat"))
        closer.add(observation)
    assert closer._map.features.likelihood.log_ratio(10) > 2.0


def test_place_that_resembles_only_in_its_descriptor_does_not_close() -> None:
    assert not _short_return(verifies=True, seed=7)


def test_memory_is_bounded_with_images_too() -> None:
    """Every second row goes, and geometry still compares with the right images."""
    world, poses = World(), _square(2)[::2]
    fronts, lap = street(seed=0, metres=4 * _SIDE), 2 * _SIDE
    options = LoopClosureOptions(
        most_keyframes=50, verification=replace(VERIFICATION, most_places=3), spacing=0.0
    )
    closer, found = LoopCloser(options), []
    for step, pose in enumerate(poses[: lap + 20]):
        image = view(fronts, 2.0 * (step % lap))
        found.append(closer.add(_observe(10**18 + step * _SECOND, world.see(pose), pose, image), image))
        assert len(closer) <= 50
    closures = [closure for closure in found if closure is not None]
    assert any(closure.inliers for closure in closures)
    for closure in closures:
        apart = (closure.to_stamp - closure.from_stamp) // _SECOND
        assert abs(apart - lap) <= 3
