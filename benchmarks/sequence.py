"""What the sequence filter makes of drives: easy and hard ones, off the map, and kidnapped.

Beside it stands a sum of similarities along lines of slope 0.9 to 1.1 over the last 20 images, which needs
an even speed and has no odometry. Correct is within two images in the corridors, within 8 m (five images) in
the town. Hard drives have images that the network can hardly tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks._measure import draw_curves, parser, print_table
from benchmarks.scenes import (
    Drive,
    Workshop,
    add_arguments,
    blurred,
    cropped,
    dark,
    tiny,
    workshop,
)
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.localization.tracking.sequence_filter import Belief, SequenceFilter, State
from netvlad_core.mapping.place_map import PlaceMap

_SECOND = 10**9
_SLOPES = np.arange(0.9, 1.11, 0.05)
_LENGTH = 20
_SEEDS = 20
# Drives off the map also begin at every seventh image, and last sixty.
_STARTS, _LASTS = 7, 60
_WITHIN = {"town": 8.0}
# Set, clusters, how the images of the drive are changed, and whether the defaults were chosen with it.
_HARD: list[tuple[str, int, Callable, bool]] = [
    ("rtabmap_corridor", 16, blurred, True),
    ("vprbench_corridor", 16, blurred, True),
    ("vprbench_corridor", 64, dark, True),
    ("town", 16, tiny, True),
    ("town", 16, dark, True),
    ("rtabmap_corridor", 16, dark, False),
    ("vprbench_corridor", 16, cropped, False),
    ("town", 64, blurred, False),
    ("town", 16, cropped, False),
]


@dataclass
class Scene:
    """A map, and the metres within which a place of it is correct."""

    name: str
    place_map: PlaceMap
    within: float

    def __post_init__(self) -> None:
        self.sequence = SequenceFilter(self.place_map.poses, self.place_map.stamps)

    def similarities(self, drive: Drive) -> np.ndarray:
        return drive.descriptors @ np.asarray(self.place_map.descriptors).T

    def follow(self, drive: Drive) -> list[Belief]:
        self.sequence.forget()
        places = np.arange(len(self.place_map))
        return [
            self.sequence.update(places, row, (row.mean(), row.std()), int(stamp), pose)
            for row, stamp, pose in zip(self.similarities(drive), drive.stamps, drive.odometry, strict=True)
        ]

    def right(self, drive: Drive, places: np.ndarray) -> np.ndarray:
        away = self.place_map.poses[places, :3] - drive.positions
        return np.linalg.norm(away, axis=1) <= self.within

    def believed(self, drive: Drive) -> tuple[np.ndarray, np.ndarray, PrecisionRecall]:
        """Whether the place is right and whether there is a pose, of each image, and the curve."""
        beliefs = self.follow(drive)
        right = self.right(drive, np.array([belief.place for belief in beliefs]))
        poses = np.array([belief.state is State.LOCALIZED for belief in beliefs])
        return right, poses, _curve(np.array([belief.confidence for belief in beliefs]), right)


def _curve(scores: np.ndarray, right: np.ndarray) -> PrecisionRecall:
    return precision_recall(scores, right, np.ones(len(right), bool))


def slope_sum(similarities: np.ndarray) -> np.ndarray:
    """(Q, N) best sum of similarities along lines of slope 0.9 to 1.1 over the last 20 images."""
    queries, places = similarities.shape
    best = np.full(similarities.shape, -np.inf)
    for slope in _SLOPES:
        total = np.zeros_like(similarities)
        for back in range(min(_LENGTH, queries)):
            shift = round(back * slope)
            if shift < places:
                total[back:, shift:] += similarities[: queries - back, : places - shift]
        best = np.maximum(best, total)
    return best


def evenly(drive: Drive, spacing: float) -> Drive:
    """Images as far from each other as the places of the map are."""
    rows = [0]
    for row, position in enumerate(drive.positions):
        if np.linalg.norm(position - drive.positions[rows[-1]]) >= 0.999 * spacing:
            rows.append(row)
    return drive.take(np.array(rows))


def variants(drive: Drive, spacing: float) -> dict[str, Drive]:
    """The same drive as other robots would have driven it."""
    rng = np.random.default_rng(0)
    even = evenly(drive, spacing)
    count = len(even)
    rows = np.arange(count)
    irregular = np.sort(rng.choice(count, count // 2, replace=False))
    changing = np.unique(np.cumsum(np.repeat(rng.uniform(0.7, 2.0, count // 10 + 1), 10)).astype(int))
    changing = changing[changing < count]
    stops = even.take(np.repeat(rows, np.where(rng.random(count) < 0.05, 30, 1)))
    stamps = drive.stamps[0] + np.arange(len(stops)) * _SECOND
    at_even_times = even.take(changing)
    at_even_times.stamps = even.stamps[: len(changing)]
    return {
        "even speed": even,
        "even, no odometry": even.without_odometry(),
        "changing speed": at_even_times,
        "changing, no odometry": at_even_times.without_odometry(),
        "half the images, irregular": even.take(irregular),
        "half, no odometry": even.take(irregular).without_odometry(),
        "stops": replace(stops, stamps=stamps),
        "backward": replace(even.take(rows[::-1]), stamps=even.stamps),
        "second half only (cold start)": even.take(rows[count // 2 :]),
    }


def recall_row(scene: Scene, name: str, drive: Drive) -> list[str]:
    shown = []
    similarities = scene.similarities(drive)
    for scores in (similarities, slope_sum(similarities)):
        right = scene.right(drive, scores.argmax(axis=1))
        shown += [_percent(right.mean()), _percent(_curve(scores.max(axis=1), right).recall_at(1.0))]
    right, poses, curve = scene.believed(drive)
    first = str(int(poses.argmax())) if poses.any() else "-"
    shown += [_percent(right.mean()), _percent(curve.recall_at(1.0)), _percent(poses.mean())]
    return [scene.name, name, *shown, str(int((poses & ~right).sum())), first]


def hard_rows(shop: Workshop) -> Iterator[list[str]]:
    for name, clusters, change, is_chosen in _HARD:
        if name not in shop.names():
            continue
        scene = _scene(shop, name, clusters)
        drive = shop.drive(scene.place_map, shop.sources(name)[1], name, change)
        even = evenly(drive, scene.sequence.motion.spacing)
        what = f"{change.__name__}, {clusters} clusters{'' if is_chosen else ' *'}"
        yield recall_row(scene, what, even)
        yield recall_row(scene, f"{what}, no odometry", even.without_odometry())


def off_map_rows(shop: Workshop, scene: Scene) -> Iterator[list[str]]:
    threshold = scene.place_map.header.similarity_threshold
    sources = shop.elsewhere(scene.name)
    if scene.name == "town":
        sources["estate, same streets"] = shop.rendered("estate", "evening")
    for name, source in sources.items():
        drive = shop.drive(scene.place_map, source, name)
        beliefs = [scene.follow(d) for d in (drive, drive.without_odometry())]
        poses = [str(sum(b.state is State.LOCALIZED for b in some)) for some in beliefs]
        leads = [f"{max(b.confidence for b in some):.1f}" for some in beliefs]
        starts = range(0, len(drive) - _STARTS, _STARTS)
        parts = [drive.take(np.arange(at, min(at + _LASTS, len(drive)))) for at in starts]
        begun = [b for part in parts for d in (part, part.without_odometry()) for b in scene.follow(d)]
        anywhere = f"{sum(b.state is State.LOCALIZED for b in begun)} of {len(begun)}"
        single = int((scene.similarities(drive).max(axis=1) >= threshold).sum())
        minutes = (drive.stamps[-1] - drive.stamps[0]) / _SECOND / 60
        yield [scene.name, name, str(len(drive)), f"{minutes:.1f}", str(single), *poses, *leads, anywhere]


def kidnapping_row(scene: Scene, drive: Drive, within: float) -> list[str]:
    """Drive a third of the way, wake up somewhere else, and drive on; odometry notices nothing."""
    rng = np.random.default_rng(0)
    count = len(drive)
    part = count // 3
    times, ways, wrong = [], [], []
    for _ in range(_SEEDS):
        start, target = rng.integers(0, count - part), rng.integers(0, count - part)
        while abs(start + part - target) < part // 2:
            start, target = rng.integers(0, count - part), rng.integers(0, count - part)
        before, after = (drive.take(np.arange(at, at + part)) for at in (start, target))
        last, first = before.truth[-1], after.truth[0]
        carried = [last @ first.inverse() @ pose for pose in after.truth]
        stamps = after.stamps - after.stamps[0] + before.stamps[-1] + _SECOND // 5
        both = Drive(
            np.vstack([before.descriptors, after.descriptors]), np.concatenate([before.stamps, stamps]),
            before.truth + after.truth, [*before.truth, *carried],
        )  # fmt: skip
        right, poses, _ = replace(scene, within=within).believed(both)
        wrong.append(int((poses & ~right)[part:].sum()))
        found = np.flatnonzero((poses & right)[part:])
        if len(found):
            way = np.diff(after.positions[: found[0] + 1], axis=0)
            ways.append(float(np.linalg.norm(way, axis=1).sum()))
            times.append((stamps[found[0]] - stamps[0]) / _SECOND)
    found_again = f"{len(times)} of {_SEEDS}"
    median = [f"{np.median(values):.0f} / {max(values):.0f}" if values else "-" for values in (times, ways)]
    return [scene.name, found_again, *median, f"{np.mean(wrong):.1f} / {max(wrong)}"]


def curves_of(scene: Scene, drive: Drive) -> dict[str, PrecisionRecall]:
    similarities = scene.similarities(drive)
    curves = {
        name: _curve(scores.max(axis=1), scene.right(drive, scores.argmax(axis=1)))
        for name, scores in (("single image", similarities), ("slope sum", slope_sum(similarities)))
    }
    return {**curves, "sequence filter": scene.believed(drive)[2]}


def _scene(shop: Workshop, name: str, clusters: int = 64) -> Scene:
    place_map = shop.place_map(name, clusters)
    return Scene(name, place_map, _WITHIN.get(name, 2.0))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    options = arguments.parse_args()
    shop = workshop(options)
    if not shop.names():
        print(f"the real sets are not in {options.data}, and no town is asked for: nothing to measure")
        return
    scenes, drives = {}, {}
    for name in shop.names():
        scenes[name] = _scene(shop, name)
        drives[name] = shop.drive(scenes[name].place_map, shop.sources(name)[1], name)
    columns = [f"{what} {figure}" for what in ("single", "slope sum", "filter") for figure in ("R@1", "P100")]
    header = ["set", "drive", *columns, "poses %", "wrong", "first pose"]
    rows = [
        recall_row(scene, variant, drive)
        for name, scene in scenes.items()
        for variant, drive in variants(drives[name], scene.sequence.motion.spacing).items()
    ]
    print_table(header, rows)
    print()
    print_table(header, list(hard_rows(shop)))
    print()
    header = ["map", "images of", "images", "minutes", "above threshold", "poses", "poses, no odometry"]
    header += ["largest confidence", "no odometry", "poses, begun anywhere"]
    print_table(header, [row for scene in scenes.values() for row in off_map_rows(shop, scene)])
    print()
    header = ["map", "found again", "s, median / most", "m, median / most", "wrong poses, mean / most"]
    # Right is what the surroundings of a place reach to, 10 m, and some way beside it.
    print_table(header, [kidnapping_row(scene, drives[name], 10.0) for name, scene in scenes.items()])
    if options.picture:
        draw_curves({name: curves_of(scene, drives[name]) for name, scene in scenes.items()}, options.picture)


if __name__ == "__main__":
    main()
