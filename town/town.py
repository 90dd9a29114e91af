"""A small town as data: streets, houses, trees, parked cars and street furniture, all from one seed.

Nothing here knows how it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from town.furniture import hang_signs, park_cars, place_lamps, plant_trees
from town.houses import Houses
from town.plan import Building, District, Street, Thing
from town.route import Route

CROSSINGS = {
    "A": (0, 0), "B": (84, -5), "C": (164, 3), "D": (169, 76), "E": (87, 80), "F": (-5, 71),
    "S": (82, -62), "N": (92, 138), "O": (224, 9),
}  # fmt: skip
# The middle street B-E is driven twice, in the same direction: a figure of eight that starts and ends in it.
ROUTE = "EFABEDCB"


MARKET = District(("plaster", "plaster", "stone"), (3, 4), (7, 12), ("gable", "mansard"), shops=0.9)
MILL = District(("brick",), (2, 3), (7, 16), ("gable", "flat"), shops=0.3)
OFFICES = District(("glass", "concrete", "panel"), (4, 6), (15, 24), ("flat",), shops=0.35)
VILLAS = District(("plaster", "brick", "stone"), (2, 2), (9, 12), ("hip", "gable"), setback=4.5, gap=4.0)
STATELY = District(("stone", "plaster", "brick"), (4, 5), (11, 17), ("mansard", "flat"), shops=0.2)
OLD_TOWN = District(("timber", "timber", "plaster"), (2, 3), (5.5, 8), ("gable_front", "gable"), shops=0.35)
MIXED = District(
    ("brick", "plaster", "concrete", "stone"), (3, 5), (9, 15), ("gable", "flat", "mansard"), shops=0.5
)


CHURCH = ((26.0, 108.0), 0.35)  # corner of the nave, heading of its long side (radians)


@dataclass(frozen=True)
class Town:
    """What stands where; all of it is data, drawn elsewhere."""

    streets: list[Street]
    buildings: list[Building]
    trees: list[Thing]
    cars: list[Thing]
    lamps: list[Thing]
    signs: list[Thing]
    hedges: list[np.ndarray]  # (2, 2) end points each
    route: Route
    seed: int
    bounds: tuple[float, float, float, float] = field(default=(-70.0, -100.0, 250.0, 170.0))  # x0 y0 x1 y1

    def around(self, points: np.ndarray, radius: float, stride: float) -> Town:
        """What stands within `radius` metres of points (N, 2), and the ground there: quicker to paint.

        The ground begins a multiple of `stride` metres from where it began, so that its tiles stay the same.
        """

        def near(position: np.ndarray) -> bool:
            return bool(np.linalg.norm(points - position, axis=1).min() < radius)

        corner = np.array(self.bounds[:2])
        steps = np.maximum(points.min(axis=0) - radius - corner, 0) // stride
        x0, y0 = (corner + steps * stride).tolist()
        x1, y1 = np.minimum(points.max(axis=0) + radius, self.bounds[2:]).tolist()
        return replace(
            self,
            buildings=[building for building in self.buildings if near(building.footprint.mean(axis=0))],
            trees=[thing for thing in self.trees if near(thing.position)],
            cars=[thing for thing in self.cars if near(thing.position)],
            lamps=[thing for thing in self.lamps if near(thing.position)],
            signs=[thing for thing in self.signs if near(thing.position)],
            hedges=[hedge for hedge in self.hedges if near(hedge.mean(axis=0))],
            bounds=(x0, y0, x1, y1),
        )


_SHIFT = 12.0  # metres, the most that another plan moves a crossing in x and in y
# An estate has these on both sides of every street.
_ESTATE = District(("brick", "plaster"), (3, 4), (9, 13), ("gable",), shops=0.3)


def make_town(seed: int = 7, parking_seed: int = 0, designs: int | None = None, plan: int = 0) -> Town:
    """Make a town; the same arguments give the same one.

    Parameters
    ----------
    seed : random seed of all that stands.
    parking_seed : random seed of the parked cars.
    designs : number of different houses of an estate, whose streets look alike; None: all houses differ.
    plan : 0 is the plan of the demo; any other moves the crossings and gives the streets other districts.
    """
    rng = np.random.default_rng(seed)
    crossings, streets = _plan(plan)
    houses = Houses(rng, streets, designs)
    for street in streets:
        for side, district in ((1, street.left), (-1, street.right)):
            if district is not None:
                houses.build_row(street, side, district if designs is None else _ESTATE)
    buildings = houses.buildings + _church()
    return Town(
        streets=streets,
        buildings=buildings,
        trees=plant_trees(rng, streets, buildings),
        cars=park_cars(np.random.default_rng([seed, parking_seed]), streets),
        lamps=place_lamps(streets),
        signs=hang_signs(rng, streets),
        hedges=houses.hedges,
        route=Route.through(np.array([_middle(crossings, "BE")] + [crossings[name] for name in ROUTE])),
        seed=seed,
    )


def _plan(number: int) -> tuple[dict[str, np.ndarray], list[Street]]:
    rng = np.random.default_rng(number)
    crossings = {name: np.array(at, float) for name, at in CROSSINGS.items()}
    districts = [MIXED, MARKET, MILL, OFFICES, VILLAS, STATELY, OLD_TOWN]
    if number:
        crossings = {name: at + rng.uniform(-_SHIFT, _SHIFT, 2) for name, at in crossings.items()}
        districts = [districts[i] for i in rng.permutation(len(districts))]
    return crossings, _streets(crossings, districts)


def _middle(crossings: dict[str, np.ndarray], street: str) -> np.ndarray:
    return (crossings[street[0]] + crossings[street[1]]) / 2


def _streets(crossings: dict[str, np.ndarray], districts: Sequence[District]) -> list[Street]:
    mixed, market, mill, offices, villas, stately, old_town = districts

    def street(
        name: str, ends: str, half: float, pavement: float, *sides: District | None, **more: object
    ) -> Street:
        start, end = (crossings[e] for e in ends)
        return Street(name, start, end, half, pavement, sides[0], sides[1], **more)  # type: ignore[arg-type]

    return [
        street("King Street", "BE", 5.2, 3.0, mixed, mixed, tree_side=1),
        street("Market Street", "AB", 5.0, 3.5, market, market),
        street("Mill Lane", "BC", 4.6, 2.4, mill, mill),
        street("Station Road", "CD", 5.6, 3.5, offices, offices, tree_side=-1),
        street("Garden Row", "DE", 4.8, 2.6, villas, villas, parking=0.3),
        street("Park Avenue", "EF", 5.2, 3.4, stately, None, tree_side=-1),
        street("Church Lane", "FA", 3.9, 1.9, old_town, old_town, surface="cobbles", parking=0.0),
        street("South Street", "BS", 4.6, 2.5, mixed, mill),
        street("North Street", "EN", 4.6, 2.5, villas, stately),
        street("Depot Road", "CO", 4.6, 2.5, offices, mill),
    ]


def _church() -> list[Building]:
    """A nave and its tower in the park: the landmark seen from far."""
    corner, heading = CHURCH
    u, v = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])

    def block(x: float, y: float, length: float, width: float, floors: int, roof: str) -> Building:
        a = np.array(corner) + x * u + y * v
        outline = np.array([a, a + length * u, a + length * u + width * v, a + width * v])
        wall, trim, slate = (198, 186, 160), (150, 140, 120), (84, 96, 92)
        return Building(
            outline, floors, 4.5, "stone", wall, trim, roof, slate, None, (0, 0, 0), seed=len(roof)
        )

    return [block(0, 0, 20, 10, 2, "gable"), block(-6.5, 1.75, 6.5, 6.5, 5, "spire")]
