"""The town as data: the same from the same seed, and a route that closes."""

import numpy as np

from town.motion import Manner, Motion
from town.plan import kerb_distance
from town.town import make_town


def test_same_seed_same_town() -> None:
    one, other, another = make_town(3), make_town(3), make_town(4)
    assert len(one.buildings) == len(other.buildings) > 60
    for a, b in zip(one.buildings, other.buildings, strict=True):
        np.testing.assert_array_equal(a.footprint, b.footprint)
        assert (a.material, a.wall, a.shop, a.seed) == (b.material, b.wall, b.shop, b.seed)
    assert [b.seed for b in one.buildings] != [b.seed for b in another.buildings]


def test_parking_seed_moves_only_the_cars() -> None:
    one, other = make_town(3, parking_seed=0), make_town(3, parking_seed=1)
    assert [b.seed for b in one.buildings] == [b.seed for b in other.buildings]
    assert [t.position.tolist() for t in one.trees] == [t.position.tolist() for t in other.trees]
    assert [c.position.tolist() for c in one.cars] != [c.position.tolist() for c in other.cars]


def test_streets_of_an_estate_look_alike() -> None:
    town = make_town(3, designs=4)
    houses = {(b.seed, b.material, b.wall, b.trim, b.floors, b.roof, b.shop) for b in town.buildings}
    assert len(town.buildings) > 60
    assert len(houses) == 4 + 2  # nave and tower of the church are no houses


def test_another_plan_has_other_streets_and_is_drivable() -> None:
    town, other = make_town(8), make_town(8, plan=8)
    assert abs(town.route.length - other.route.length) > 5
    lane = other.route.pose(np.arange(0, other.route.length, 0.5), 0.25)[:, :2]
    assert kerb_distance(other.streets, lane).max() < -0.8
    for building in other.buildings:
        assert kerb_distance(other.streets, building.footprint).min() > 1.0


def test_the_route_closes_and_has_the_promised_length() -> None:
    route = make_town().route
    assert 500 < route.length < 700
    start, end = route.pose(0.0), route.pose(route.length)
    np.testing.assert_allclose(start[:2], end[:2], atol=1e-6)
    assert abs((end[2] - start[2] + np.pi) % (2 * np.pi) - np.pi) < 1e-6
    steps = np.diff(route.pose(np.arange(0, route.length, 1.0))[:, :2], axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 1.0, atol=0.03)


def test_king_street_is_driven_twice() -> None:
    route = make_town().route
    poses = route.pose(np.arange(0, route.length, 0.5))
    middle = np.linalg.norm(poses[:, :2] - (85.5, 45.0), axis=1) < 0.5
    visits = np.count_nonzero(np.diff(np.flatnonzero(middle)) > 10) + 1
    assert visits == 2


def test_the_car_stays_on_the_carriageway_and_clear_of_houses() -> None:
    town = make_town()
    for offset in (-1.75, 0.25):
        lane = town.route.pose(np.arange(0, town.route.length, 0.5), offset)[:, :2]
        assert kerb_distance(town.streets, lane).max() < -0.8
        for car in town.cars:
            assert np.linalg.norm(lane - car.position, axis=1).min() > 1.7
    for building in town.buildings:
        assert kerb_distance(town.streets, building.footprint).min() > 1.0


def test_motion_stops_where_it_should_and_is_continuous() -> None:
    manner = Manner(speed=7.0, surge=0.2, wobble=0.15, sway=0.005, pauses=((60.0, 3.0),))
    motion = Motion(make_town().route, manner, 0.0, 120.0, np.random.default_rng(0))
    times = np.arange(0.0, motion.duration, 0.05)
    position, quaternion = motion.pose(times)
    speed = np.linalg.norm(np.diff(position, axis=0), axis=1) / 0.05
    assert speed.max() < 9.0
    assert 2.5 < np.count_nonzero(speed < 0.1) * 0.05 < 6.0
    assert (np.abs((quaternion[1:] * quaternion[:-1]).sum(1)) > 0.999).all()
