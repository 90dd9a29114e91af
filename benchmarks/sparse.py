"""Does the filter say what it knows on sparse maps and in extreme light?

Maps are every place, every sixth and every tenth one of three rendered towns at noon and of the real sets;
drives are in other light and season, as they are and as 64x32 grey pixels, and through other towns. Correct
is within the metres of sequence.py, in sparse maps within 1.25 spacings. `localized` is the share of the
mapped images after the first 80. The slope sum adds up the rows of similarity along the odometry of the last
80 images, at 0.9 to 1.1 times its length. Numbers were chosen on the first two towns and their images
elsewhere; turns within one step of a sparse map were mended in sight of the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks._measure import parser, print_table
from benchmarks.scenes import Drive, Workshop, add_arguments, grey, workshop
from netvlad_core.data.frames import FrameSource
from netvlad_core.evaluation.precision_recall import precision_recall
from netvlad_core.localization.localizer import Localizer, localize_frames
from netvlad_core.localization.tracking.sequence_filter import SequenceFilter, State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.statistics import median_spacing

_STRIDES = (1, 6, 10)
_LENGTH = 80
_SLOPES = np.arange(0.9, 1.11, 0.05)
_TOWNS = ("town", "second town", "third town")
_LIGHTS = ("evening", "winter", "night")


@dataclass(frozen=True)
class Sparse:
    """Every n-th place of a map."""

    poses: np.ndarray
    stamps: np.ndarray
    descriptors: np.ndarray
    within: float

    @classmethod
    def of(cls, place_map: PlaceMap, stride: int, within: float) -> Sparse:
        poses = np.asarray(place_map.poses)[::stride]
        if stride > 1:
            within = max(within, 1.25 * median_spacing(poses[:, :3], counts_stops=False))
        descriptors = np.asarray(place_map.descriptors, np.float32)[::stride]
        return cls(poses, np.asarray(place_map.stamps)[::stride], descriptors, within)

    def follow(self, drive: Drive) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place, confidence and whether there is a pose, of each image."""
        sequence, places = SequenceFilter(self.poses, self.stamps), np.arange(len(self.poses))
        rows = drive.descriptors @ self.descriptors.T
        beliefs = [
            sequence.update(places, row, (row.mean(), row.std()), int(stamp), pose)
            for row, stamp, pose in zip(rows, drive.stamps, drive.odometry, strict=True)
        ]
        return (
            np.array([belief.place for belief in beliefs]),
            np.array([belief.confidence for belief in beliefs]),
            np.array([belief.state is State.LOCALIZED for belief in beliefs]),
        )

    def slope_sum(self, drive: Drive) -> tuple[np.ndarray, np.ndarray]:
        """Best place of each image, and its sum."""
        rows = drive.descriptors @ self.descriptors.T
        along = _along(self.poses[:, :3])
        driven = _along(drive.positions)
        best = np.full(rows.shape, -np.inf)
        for image in range(len(rows)):
            before = np.arange(max(0, image - _LENGTH + 1), image + 1)[:, None]
            for slope in _SLOPES:
                at = along - slope * (driven[image] - driven[before])
                places = np.searchsorted((along[1:] + along[:-1]) / 2, at)
                total = np.where(at >= along[0], rows[before, places], 0.0).sum(axis=0)
                best[image] = np.maximum(best[image], total)
        return best.argmax(axis=1), best.max(axis=1)

    def row(self, drive: Drive) -> list[str]:
        away = np.linalg.norm(self.poses[:, None, :3] - drive.positions, axis=2)
        is_mapped = (away <= self.within).any(axis=0)
        is_late = is_mapped & (np.arange(len(drive)) >= _LENGTH)

        def figures(places: np.ndarray, scores: np.ndarray) -> list[str]:
            right = away[places, np.arange(len(drive))] <= self.within
            recall = precision_recall(scores, right, is_mapped).recall_at(1.0)
            return [f"{100 * right[is_mapped].mean():.1f}", f"{100 * recall:.1f}"]

        places, scores, has_pose = self.follow(drive)
        right = away[places, np.arange(len(drive))] <= self.within
        similarities = drive.descriptors @ self.descriptors.T
        single = figures(similarities.argmax(axis=1), similarities.max(axis=1))[0]
        localized = f"{100 * (has_pose & right)[is_late].mean():.1f}" if is_late.any() else "-"
        shown = [single, *figures(*self.slope_sum(drive)), *figures(places, scores)]
        return [*shown, localized, str(int((has_pose & ~right).sum()))]


def _along(positions: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1))])


def by_default(shop: Workshop, name: str, stride: int, source: FrameSource, within: float) -> list[str]:
    """Places of a map with local features, and P100, localized and wrong of a drive."""
    place_map = shop.place_map(name, features="xfeat", stride=stride)
    sparse = Sparse.of(shop.place_map(name), stride, within)
    found = list(localize_frames(Localizer.open(place_map.path), source, Counter()))
    truth = np.array([frame.pose.position for frame, _ in found if frame.pose])
    away = np.linalg.norm(sparse.poses[:, None, :3] - truth, axis=2)
    is_right = away[[answer.place for _, answer in found], np.arange(len(found))] <= sparse.within
    has_pose = np.array([answer.prior is not None for _, answer in found])
    is_mapped = (away <= sparse.within).any(axis=0)
    is_late = is_mapped & (np.arange(len(found)) >= _LENGTH)
    scores = np.array([answer.confidence for _, answer in found])
    recall = f"{100 * precision_recall(scores, is_right, is_mapped).recall_at(1.0):.1f}"
    localized = f"{100 * (has_pose & is_right)[is_late].mean():.1f}" if is_late.any() else "-"
    return [str(len(place_map)), recall, localized, str(int((has_pose & ~is_right).sum()))]


def sources(shop: Workshop, name: str) -> dict[str, FrameSource]:
    if name not in _TOWNS:
        return {"drive": shop.sources(name)[1]}
    return {light: shop.rendered(name, light) for light in _LIGHTS}


def drives(shop: Workshop, name: str, place_map: PlaceMap) -> Iterator[tuple[str, Drive]]:
    for light, source in sources(shop, name).items():
        for change in (None, grey):
            label = f"{name} {light}" if name in _TOWNS else name
            yield light + (" grey" if change else ""), shop.drive(place_map, source, label, change)


def elsewhere(shop: Workshop, name: str, place_map: PlaceMap) -> Iterator[tuple[str, Drive]]:
    others = shop.elsewhere(name)
    for town in (*_TOWNS, "fourth town", "estate") if name in _TOWNS else ():
        if town != name:
            others[f"{town} winter"] = shop.rendered(town, "winter")
    for other, source in others.items():
        for change in (None, grey):
            yield other + (" grey" if change else ""), shop.drive(place_map, source, other, change)


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    arguments.add_argument("--default", action="store_true", help="with maps as build-map makes them")
    options = arguments.parse_args()
    shop = workshop(options)
    names = {"rtabmap_corridor": 2.0, "vprbench_corridor": 2.0, "toshiki_loop": 5.0, "ietower": 3.0}
    within = (names if shop.data.is_dir() else {}) | (dict.fromkeys(_TOWNS, 8.0) if shop.has_town else {})
    maps = {name: shop.place_map(name) for name in within}
    header = ["map", "drive", "single R@1", "slope sum R@1", "slope sum P100", "filter R@1", "filter P100"]
    rows = [
        [f"{name}, 1/{stride}", light, *Sparse.of(place_map, stride, within[name]).row(drive)]
        for name, place_map in maps.items()
        for light, drive in drives(shop, name, place_map)
        for stride in _STRIDES
    ]
    print_table([*header, "localized %", "wrong"], rows)
    print()
    rows = []
    for name, place_map in maps.items():
        for other, drive in elsewhere(shop, name, place_map):
            ways = {"": drive, "no odometry": drive.without_odometry()}
            followed = [
                Sparse.of(place_map, stride, 0.0).follow(way) for stride in _STRIDES for way in ways.values()
            ]
            poses = [str(int(has_pose.sum())) for _, _, has_pose in followed]
            rows.append([name, other, str(len(drive)), *poses])
    columns = [f"poses, 1/{stride}{way}" for stride in _STRIDES for way in ("", ", no odometry")]
    print_table(["map", "images of", "images", *columns], rows)
    if options.default:
        print()
        rows = [
            [f"{name}, 1/{stride}", light, *by_default(shop, name, stride, source, within[name])]
            for name in maps
            for light, source in sources(shop, name).items()
            for stride in _STRIDES[1:]
        ]
        print_table(["map", "drive", "places", "P100", "localized %", "wrong"], rows)


if __name__ == "__main__":
    main()
