"""What each option of the sequence filter does: poses with a quarter to four times its default.

The maps are those of ladder.py, each without a part of the streets, so that images of it count as mistakes
where they have a pose. Each drive goes with odometry and without. `elsewhere` counts the poses of drives that
the map knows nothing of.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from benchmarks._measure import parser, print_table
from benchmarks.scenes import Drive, add_arguments, workshop
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State
from netvlad_core.localization.tracking.sequence_options import SequenceOptions
from netvlad_core.mapping.place_map import PlaceMap

_FACTORS = (0.25, 0.5, 2.0, 4.0)
_PROBABILITIES = (0.5, 0.8, 0.95, 0.99)  # for min_belief, which is none to be multiplied


def follow(place_map: PlaceMap, drive: Drive, options: SequenceOptions) -> list[Belief]:
    """Beliefs with odometry and then without."""
    places = np.arange(len(place_map))
    similarities = drive.descriptors @ np.asarray(place_map.descriptors).T
    beliefs = []
    for each in (drive, drive.without_odometry()):
        sequence = SequenceFilter(place_map.poses, place_map.stamps, options)
        beliefs += [
            sequence.update(places, row, (row.mean(), row.std()), int(stamp), pose)
            for row, stamp, pose in zip(similarities, each.stamps, each.odometry, strict=True)
        ]
    return beliefs


def figures(
    place_map: PlaceMap, drive: Drive, within: float, elsewhere: list[Drive], options: SequenceOptions
) -> str:
    """Right poses in % of the images that have a place, wrong poses, poses elsewhere."""
    away = np.linalg.norm(place_map.poses[:, None, :3] - drive.positions, axis=2)
    right = wrong = 0
    for row, belief in enumerate(follow(place_map, drive, options)):
        is_right = away[belief.place, row % len(drive)] <= within
        right += belief.state is State.LOCALIZED and is_right
        wrong += belief.state is State.LOCALIZED and not is_right
    false = sum(b.state is State.LOCALIZED for other in elsewhere for b in follow(place_map, other, options))
    answerable = 2 * (away <= within).any(axis=0).sum()
    return f"{100 * right / answerable:.0f} %, {wrong}, {false}"


def variants(options: SequenceOptions) -> list[tuple[str, SequenceOptions]]:
    """The defaults, and each option changed alone."""
    changed = [("default", options)]
    for field in fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue
        for factor, probability in zip(_FACTORS, _PROBABILITIES):
            other = tuple(factor * v for v in value) if isinstance(value, tuple) else factor * value
            other = probability if field.name == "min_belief" else other
            change: dict[str, Any] = {field.name: other}
            changed.append((f"{field.name} {other}", replace(options, **change)))
    return changed


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    shop = workshop(arguments.parse_args())
    names = shop.names() + (["toshiki_loop"] if shop.data.is_dir() else [])
    scenes = []
    for name in names:
        place_map = shop.place_map(name, has_gap=True)
        _, source, within = shop.sources(name)
        elsewhere = [shop.drive(place_map, other, key) for key, other in shop.elsewhere(name).items()]
        scenes.append((place_map, shop.drive(place_map, source, name), within, elsewhere))
    rows = [
        [what, *(figures(*scene, options) for scene in scenes)]
        for what, options in variants(SequenceOptions())
    ]
    print_table(["option", *(f"{name}: right, wrong, elsewhere" for name in names)], rows)


if __name__ == "__main__":
    main()
