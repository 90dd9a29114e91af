"""How soon a localizer that begins anew has a pose: without a last place, with the right one, with another.

Each drive is begun at some 25 of its images and followed for 40, with odometry and without, in the whole map
and in one that lacks a part. A pose is wrong beyond two images in the corridors, beyond 8 m in the town.
Drives of other buildings are begun near places of the map that they know nothing of.

example:
  python -m benchmarks.last_place --town
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks._measure import parser, print_table
from benchmarks.scenes import Drive, add_arguments, workshop
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State
from netvlad_core.mapping.place_map import PlaceMap

_STARTS, _IMAGES, _FEWEST = 25, 40, 10
_WITHIN = {"town": 8.0}
# What the filter expects, seconds ago; None begins anywhere.
_KINDS: dict[str, tuple[str, float] | None] = {
    "no place": None, "right, 2 s": ("right", 2.0), "right, 30 s": ("right", 30.0),
    "right, 2 min": ("right", 120.0), "another, 2 s": ("another", 2.0), "another, 30 s": ("another", 30.0),
}  # fmt: skip


def follow(
    place_map: PlaceMap, drive: Drive, expected: Callable[[int], int], age: float | None
) -> list[list[Belief]]:
    """Beliefs of the drive from each start on, near the place that `expected` gives for the first image."""
    sequence, places = SequenceFilter(place_map.poses, place_map.stamps), np.arange(len(place_map))
    similarities = place_map.reduced(drive.descriptors) @ np.asarray(place_map.descriptors, np.float32).T
    followed = []
    for start in range(0, len(drive) - _FEWEST, max(1, len(drive) // _STARTS)):
        sequence.forget()
        if age is not None:
            sequence.expect(expected(start), False, age)
        followed.append([
            sequence.update(places, row, (row.mean(), row.std()), int(stamp), pose)
            for row, stamp, pose in zip(
                similarities[start : start + _IMAGES], drive.stamps[start:], drive.odometry[start:]
            )
        ])  # fmt: skip
    return followed


def row(place_map: PlaceMap, drive: Drive, within: float, kind: tuple[str, float] | None) -> list[str]:
    """Median images to the first pose, poses, wrong poses."""
    rng, count = np.random.default_rng(0), len(place_map)
    away = np.linalg.norm(place_map.poses[:, None, :3] - drive.positions, axis=2)

    def expected(start: int) -> int:
        nearest = int(away[:, start].argmin())
        if kind is None or kind[0] == "right":
            return nearest
        return (nearest + int(rng.integers(count // 4, 3 * count // 4))) % count

    first, poses, wrong = [], 0, 0
    starts = range(0, len(drive) - _FEWEST, max(1, len(drive) // _STARTS))
    for start, beliefs in zip(starts, follow(place_map, drive, expected, kind and kind[1]), strict=True):
        posed = [number for number, belief in enumerate(beliefs) if belief.state is State.LOCALIZED]
        if (away[:, start] <= within).any():
            first.append(posed[0] + 1 if posed else _IMAGES)
        poses += len(posed)
        wrong += sum(away[beliefs[number].place, start + number] > within for number in posed)
    return [f"{np.median(first):.1f}", str(poses), str(wrong)]


def poses_elsewhere(place_map: PlaceMap, drive: Drive, age: float | None) -> int:
    """Poses on a drive that the map knows nothing of."""
    rng = np.random.default_rng(0)
    followed = follow(place_map, drive, lambda start: int(rng.integers(len(place_map))), age)
    return sum(belief.state is State.LOCALIZED for beliefs in followed for belief in beliefs)


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    shop = workshop(arguments.parse_args())
    rows, others = [], []
    for name in shop.names():
        for has_gap in (False, True):
            place_map = shop.place_map(name, has_gap=has_gap)
            drive = shop.drive(place_map, shop.sources(name)[1], name)
            for odometry, each in (("yes", drive), ("no", drive.without_odometry())):
                for kind, expectation in _KINDS.items():
                    figures = row(place_map, each, _WITHIN.get(name, 2.0), expectation)
                    rows.append([f"{name}{', with a gap' * has_gap}", odometry, kind, *figures])
        for other, source in shop.elsewhere(name).items():
            drive = shop.drive(place_map, source, other)
            others.append(
                [name, other, *(str(poses_elsewhere(place_map, drive, age)) for age in (None, 2.0))]
            )
    print_table(["map", "odometry", "last place", "images to a pose", "poses", "wrong"], rows)
    print_table(["map", "drive elsewhere", "poses without a place", "with any place, 2 s old"], others)


if __name__ == "__main__":
    main()
