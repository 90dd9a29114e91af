"""What odometry is worth to the poses of the filter alone: those of each image's own matches, and together.

Maps are every place, every sixth and every tenth one; nothing is verified. Odometry is exact in the towns and
the loop, and the number of the image in the corridor.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks._measure import parser, print_table
from benchmarks.scenes import Drive, Workshop, add_arguments, dark, workshop
from netvlad_core.localization.anchored_pose import AnchoredPose
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.mapping.place_map import PlaceMap

_TOWN = [
    *(("town", light, stride) for stride in (1, 6, 10) for light in ("evening", "night")),
    *(("second town", "evening", stride) for stride in (1, 10)),
]


class _EachByItself(AnchoredPose):
    """Leaves each pose as the matches of the image say."""

    def next(self, prior: PosePrior, *_: object) -> PosePrior:
        return prior


def drives(shop: Workshop) -> Iterator[tuple[str, PlaceMap, int, Drive]]:
    for name, light, stride in _TOWN if shop.has_town else ():
        place_map = shop.place_map(name, features="xfeat", stride=stride)
        label = f"{name} {light}"
        yield label, place_map, stride, shop.drive(place_map, shop.rendered(name, light), label)
    if shop.has_town:
        place_map = shop.place_map("town", features="xfeat")
        drive = shop.drive(place_map, shop.rendered("town", "evening"), "town evening", dark)
        yield "town evening, dark", place_map, 1, drive
    for name in ("vprbench_corridor", "toshiki_loop") if shop.data.is_dir() else ():
        place_map = shop.place_map(name, features="xfeat")
        yield name, place_map, 1, shop.drive(place_map, shop.sources(name)[1], name)


def figures(place_map: PlaceMap, drive: Drive, is_together: bool) -> list[str]:
    """Mean, 99 % and largest error in metres, and the share inside the 95 % ellipse."""
    localizer = Localizer.open(place_map.path, options=LocalizerOptions(verification=None))
    if not is_together:
        localizer._anchored = _EachByItself(place_map.header.spacing)
    errors, is_inside = [], []
    for stamp, descriptor, odometry, truth in zip(
        drive.stamps, drive.descriptors, drive.odometry, drive.truth, strict=True
    ):
        prior = localizer.track(Observation(int(stamp), descriptor, odometry=odometry)).prior
        if prior is not None:
            errors.append(np.linalg.norm((prior.pose.position - truth.position)[:2]))
            is_inside.append(prior.holds(truth.position[:2]))
    quantiles = np.mean(errors), np.quantile(errors, 0.99), np.max(errors)
    return [*(f"{value:.2f}" for value in quantiles), f"{100 * np.mean(is_inside):.1f}"]


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    shop = workshop(arguments.parse_args())
    rows = [
        [label, f"1/{stride}", *figures(place_map, drive, False), *figures(place_map, drive, True)]
        for label, place_map, stride, drive in drives(shop)
    ]
    header = ["drive", "places", "each: mean m", "99 % m", "worst m", "in the ellipse %"]
    print_table([*header, "together: mean m", "99 % m", "worst m", "in the ellipse %"], rows)


if __name__ == "__main__":
    main()
