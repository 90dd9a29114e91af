"""What stands along the streets: trees, parked cars, lamps and signs."""

from __future__ import annotations

import numpy as np

from town.plan import Building, Street, Thing, kerb_distance

CAR_LENGTH = 4.4
TREE_KINDS = ("round", "tall", "conifer", "autumn", "birch")
PARK = ((-2.0, 88.0), (84.0, 150.0))  # south-west and north-east corners, metres


def plant_trees(rng: np.random.Generator, streets: list[Street], buildings: list[Building]) -> list[Thing]:
    """Street trees in rows, and a park of mixed trees."""
    trees = []
    for street in streets:
        kind = TREE_KINDS[int(rng.integers(3))]
        for at in np.arange(9.0, street.length - 8.0, rng.uniform(9.0, 12.0)) if street.tree_side else ():
            spot = street.point(at, street.tree_side * (street.half_width + 1.0))
            trees.append(Thing(kind, spot, size=float(rng.uniform(6.0, 8.5)), variant=int(rng.integers(3))))
        for side, district in ((1, street.left), (-1, street.right)):
            if district is not None and district.setback:  # a tree in some front gardens
                for at in np.arange(6.0, street.length - 5.0, 7.0):
                    if rng.random() < 0.5:
                        spot = street.point(
                            at, side * (street.half_width + street.pavement + rng.uniform(1.6, 2.6))
                        )
                        kind = TREE_KINDS[int(rng.integers(len(TREE_KINDS)))]
                        trees.append(
                            Thing(kind, spot, size=float(rng.uniform(3.0, 5.5)), variant=int(rng.integers(3)))
                        )
    centres = np.array([b.footprint.mean(0) for b in buildings])
    # The park is full of trees, and elsewhere they close the gaps between the rows of houses.
    for spot in np.concatenate([rng.uniform(*PARK, (70, 2)), rng.uniform((-50, -80), (240, 160), (420, 2))]):
        clear = np.linalg.norm(centres - spot, axis=1).min() > 9.0
        if clear and 5.5 < kerb_distance(streets, spot) < (60.0 if _within(spot, PARK) else 24.0):
            kind = TREE_KINDS[int(rng.integers(len(TREE_KINDS)))]
            trees.append(Thing(kind, spot, size=float(rng.uniform(6.0, 12.0)), variant=int(rng.integers(3))))
    return trees


def _within(spot: np.ndarray, box: tuple[tuple[float, float], tuple[float, float]]) -> bool:
    return bool((spot > box[0]).all() and (spot < box[1]).all())


def park_cars(rng: np.random.Generator, streets: list[Street]) -> list[Thing]:
    """Cars at both kerbs, clear of the crossings."""
    cars = []
    for street in streets:
        for side in (1, -1):
            for at in np.arange(15.0, street.length - 14.0, CAR_LENGTH + 1.4):
                if rng.random() > street.parking:
                    continue
                heading = np.arctan2(*street.along[::-1]) + (np.pi if side > 0 else 0.0)
                spot = street.point(at + rng.uniform(-0.3, 0.3), side * (street.half_width - 1.05))
                kind = ("hatchback", "saloon", "van")[rng.choice(3, p=(0.5, 0.35, 0.15))]
                yaw = float(heading + rng.normal(0, 0.015))
                cars.append(Thing(kind, spot, yaw, variant=int(rng.integers(1 << 16))))
    return cars


def place_lamps(streets: list[Street], spacing: float = 22.0) -> list[Thing]:
    """Lamp posts, in turn on the left and the right kerb, looking at the road."""
    lamps = []
    for street in streets:
        for i, at in enumerate(np.arange(12.0, street.length - 6.0, spacing / 2)):
            side = 1 if i % 2 else -1
            yaw = float(np.arctan2(*(-side * street.leftward[::-1])))
            lamps.append(Thing("lamp", street.point(at, side * (street.half_width + 0.45)), yaw))
    return lamps


def hang_signs(rng: np.random.Generator, streets: list[Street]) -> list[Thing]:
    """Traffic signs at the crossings, bus stops and poster columns along the way."""
    signs = []
    for street in streets:
        heading = float(np.arctan2(*street.along[::-1]))
        for at, side, yaw in ((9.5, 1, heading), (street.length - 9.5, -1, heading + np.pi)):
            kind = ("stop", "yield", "speed", "no_parking", "crossing")[int(rng.integers(5))]
            signs.append(Thing(kind, street.point(at, side * (street.half_width + 0.5)), yaw))
        if rng.random() < 0.7:
            spot = street.point(rng.uniform(0.3, 0.7) * street.length, -(street.half_width + 1.2))
            signs.append(Thing("column", spot, variant=int(rng.integers(1 << 16))))
        if rng.random() < 0.5:
            spot = street.point(rng.uniform(0.3, 0.7) * street.length, street.half_width + 0.6)
            signs.append(Thing("bus", spot, heading))
    return signs
