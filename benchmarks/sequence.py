"""What the sequence filter adds to single images: recall, precision, silence off the map, kidnapping.

The corridors have no odometry, so the index of an image serves as metres driven, for the map as for the
drive. The town (`--town FOLDER`) is rendered there once, about 6 minutes on 2 cores: a map at noon, the same
streets in the evening, and ten minutes of the evening streets of other towns, which no map has.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import real_sets
from _measure import print_table

from netvlad_core.data.bags import BagSource
from netvlad_core.data.datasets import CatalogueSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.loop_closure import PrecisionRecall, precision_recall
from netvlad_core.localization.sequence_filter import Belief, SequenceFilter, State
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames

_SECOND = 10**9
_SLOPES = np.arange(0.9, 1.11, 0.05)
_LENGTH = 20
_SEEDS = 20
_OTHER_TOWNS = (8, 9, 10, 11, 12)


@dataclass
class Drive:
    """Images in order: (Q, N) similarities to the places, stamps (ns), true poses, and odometry or None."""

    similarities: np.ndarray
    stamps: np.ndarray
    truth: list[Pose]
    odometry: Sequence[Pose | None]

    def take(self, rows: np.ndarray) -> Drive:
        chosen = [self.truth[i] for i in rows]
        return Drive(self.similarities[rows], self.stamps[rows], chosen, [self.odometry[i] for i in rows])


@dataclass
class Scene:
    """A map, a drive through it, drives elsewhere, and the metres within which a place is correct."""

    name: str
    place_map: PlaceMap
    drive: Drive
    elsewhere: dict[str, Drive]
    correct_within: float

    @cached_property
    def sequence(self) -> SequenceFilter:
        return SequenceFilter(self.place_map.poses, self.place_map.stamps)

    def follow(self, drive: Drive) -> list[Belief]:
        self.sequence.forget()
        places = np.arange(len(self.place_map))
        return [
            self.sequence.update(places, row, (row.mean(), row.std()), int(stamp), pose)
            for row, stamp, pose in zip(drive.similarities, drive.stamps, drive.odometry, strict=True)
        ]

    def errors(self, drive: Drive, places: np.ndarray) -> np.ndarray:
        truth = np.array([pose.position for pose in drive.truth])
        return np.linalg.norm(self.place_map.poses[places, :3] - truth, axis=1)


def describe(source: FrameSource, place_map: PlaceMap, extractor: Extractor) -> Drive:
    frames = [item for batch in describe_frames(source, extractor) for item in batch]
    descriptors = np.stack([item.descriptor for item in frames if item.descriptor is not None])
    poses = [item.frame.pose or Pose.identity() for item in frames]
    stamps = np.array([item.frame.stamp for item in frames])
    return Drive(descriptors @ np.asarray(place_map.descriptors).T, stamps, poses, poses)


def corridor(name: str, data: Path, folder: Path) -> Scene:
    """Map and drive of a corridor; the other sets are off its map."""
    sources = {}
    for other in ("rtabmap_corridor", "vprbench_corridor", "toshiki_loop", "ietower"):
        places, queries, within = real_sets.SETS[other](data)
        if other == name:
            own, correct_within = (
                CatalogueSource.from_csv(real_sets._write(places, folder / "map.csv")),
                within,
            )
        sources[other] = CatalogueSource.from_csv(real_sets._write(queries, folder / f"{other}.csv"))
    return _scene(name, own, sources.pop(name), sources, correct_within, folder)


def town(folder: Path, cache: Path) -> Scene:
    """The rendered town; the evening drives of other towns are off its map."""
    from demo.drives import FIRST, SECOND_DRIVE, write_drive

    drives = {"noon": (FIRST, 7, 5.0), "evening": (SECOND_DRIVE, 7, 5.0)}
    drives |= {f"town {seed}": (SECOND_DRIVE, seed, 1.5) for seed in _OTHER_TOWNS}
    bags = {}
    for name, (drive, seed, rate) in drives.items():
        bag = cache / name.replace(" ", "_")
        if not bag.is_dir():
            write_drive(bag, drive, seed=seed, image_rate=rate, size=(320, 240), progress=True)
        bags[name] = BagSource.open(bag)
    return _scene("town", bags.pop("noon"), bags.pop("evening"), bags, 25.0, folder)


def _scene(
    name: str, own: FrameSource, drive: FrameSource, others: dict, correct_within: float, folder: Path
) -> Scene:
    place_map = build_map(own, folder / "map", BuildOptions(store_images="none"), progress=False)
    extractor = Extractor.load(place_map.network_path)
    elsewhere = {other: describe(source, place_map, extractor) for other, source in others.items()}
    return Scene(name, place_map, describe(drive, place_map, extractor), elsewhere, correct_within)


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


def variants(drive: Drive) -> dict[str, Drive]:
    """The same drive as other robots would have driven it."""
    rng = np.random.default_rng(0)
    count = len(drive.stamps)
    rows = np.arange(count)
    irregular = np.sort(rng.choice(count, count // 2, replace=False))
    stops = np.repeat(rows, np.where(rng.random(count) < 0.05, 30, 1))
    standing = replace(drive.take(stops), stamps=drive.stamps[0] + np.arange(len(stops)) * _SECOND)
    return {
        "as driven": drive,
        "no odometry": replace(drive, odometry=[None] * count),
        "half the images, irregular": drive.take(irregular),
        "half, no odometry": replace(drive.take(irregular), odometry=[None] * len(irregular)),
        "stops": standing,
        "backward": replace(drive.take(rows[::-1]), stamps=drive.stamps),
        "second half only (cold start)": drive.take(rows[count // 2 :]),
    }


def recall_rows(scene: Scene, curves: dict[str, PrecisionRecall]) -> list[list[str]]:
    everything = np.ones(len(scene.drive.stamps), bool)
    rows = []
    for name, scores in {
        "raw top-1": scene.drive.similarities,
        "slope sum over 20": slope_sum(scene.drive.similarities),
    }.items():
        right = scene.errors(scene.drive, scores.argmax(axis=1)) <= scene.correct_within
        curve = curves[name] = precision_recall(scores.max(axis=1), right, everything)
        rows.append([scene.name, name, _percent(right.mean()), _percent(curve.recall_at(1.0)), "", "", ""])
    for name, drive in variants(scene.drive).items():
        beliefs = scene.follow(drive)
        right = scene.errors(drive, np.array([b.place for b in beliefs])) <= scene.correct_within
        poses = np.array([b.state is State.LOCALIZED for b in beliefs])
        curve = precision_recall(np.array([b.probability for b in beliefs]), right, np.ones(len(right), bool))
        if name == "as driven":
            curves["sequence filter"] = curve
        first = str(int(poses.argmax())) if poses.any() else "-"
        shares = [_percent(right.mean()), _percent(curve.recall_at(1.0)), _percent(poses.mean())]
        rows.append([scene.name, f"filter, {name}", *shares, str(int((poses & ~right).sum())), first])
    return rows


def off_map_rows(scene: Scene) -> list[list[str]]:
    rows = []
    for name, drive in scene.elsewhere.items():
        silent = replace(drive, odometry=[None] * len(drive.stamps))
        poses = [sum(b.state is State.LOCALIZED for b in scene.follow(d)) for d in (drive, silent)]
        single = int((drive.similarities.max(axis=1) >= scene.place_map.header.similarity_threshold).sum())
        minutes = (drive.stamps[-1] - drive.stamps[0]) / _SECOND / 60
        rows.append(
            [scene.name, name, str(len(drive.stamps)), f"{minutes:.1f}", str(single), *map(str, poses)]
        )
    return rows


def kidnapping_row(scene: Scene) -> list[str]:
    """Drive a third of the way, wake up somewhere else, and drive on; odometry notices nothing."""
    rng = np.random.default_rng(0)
    count = len(scene.drive.stamps)
    part = count // 3
    times, ways, wrong = [], [], []
    for _ in range(_SEEDS):
        start, target = rng.integers(0, count - part), rng.integers(0, count - part)
        while abs(start + part - target) < part // 2:
            start, target = rng.integers(0, count - part), rng.integers(0, count - part)
        before, after = (scene.drive.take(np.arange(at, at + part)) for at in (start, target))
        last, first = before.truth[-1], after.truth[0]
        carried = [last @ first.inverse() @ pose for pose in after.truth]
        stamps = after.stamps - after.stamps[0] + before.stamps[-1] + _SECOND // 5
        both = Drive(
            np.vstack([before.similarities, after.similarities]), np.concatenate([before.stamps, stamps]),
            before.truth + after.truth, [*before.truth, *carried],
        )  # fmt: skip
        beliefs = scene.follow(both)
        right = scene.errors(both, np.array([b.place for b in beliefs])) <= scene.correct_within
        poses = np.array([b.state is State.LOCALIZED for b in beliefs])
        wrong.append(int((poses & ~right)[part:].sum()))
        found = np.flatnonzero((poses & right)[part:])
        if len(found):
            way = np.diff([pose.position for pose in after.truth[: found[0] + 1]], axis=0)
            ways.append(float(np.linalg.norm(way, axis=1).sum()))
            times.append((stamps[found[0]] - stamps[0]) / _SECOND)
    found_again = f"{len(times)} of {_SEEDS}"
    median = [f"{np.median(values):.0f} / {max(values):.0f}" if values else "-" for values in (times, ways)]
    return [scene.name, found_again, *median, f"{np.mean(wrong):.1f} / {max(wrong)}"]


def draw(curves: dict[str, dict[str, PrecisionRecall]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(curves), 3.6), dpi=110, layout="constrained")
    for axes, (scene, lines) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        for name, curve in lines.items():
            axes.plot(curve.recall, curve.precision, label=name)
        axes.set(title=scene, xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    figure.savefig(path)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = real_sets._ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the real sets")
    parser.add_argument("--town", type=Path, metavar="FOLDER", help="render the town there, or find it there")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the precision/recall curves")
    options = parser.parse_args()
    scenes = []
    with TemporaryDirectory() as temporary:
        for name in ("rtabmap_corridor", "vprbench_corridor", "town"):
            folder = Path(temporary) / name
            folder.mkdir()
            if name == "town" and options.town:
                scenes.append(town(folder, options.town))
            elif name != "town" and options.data.is_dir():
                scenes.append(corridor(name, options.data.resolve(), folder))
        if not scenes:
            print(f"the real sets are not in {options.data}, and no town is asked for: nothing to measure")
            return
        curves: dict[str, dict[str, PrecisionRecall]] = {scene.name: {} for scene in scenes}
        header = [
            "set",
            "method",
            "R@1 %",
            "recall at 100 % precision",
            "poses %",
            "wrong poses",
            "first pose",
        ]
        print_table(header, [row for s in scenes for row in recall_rows(s, curves[s.name])])
        print()
        header = ["map", "images of", "images", "minutes", "above threshold", "poses", "poses, no odometry"]
        print_table(header, [row for s in scenes for row in off_map_rows(s)])
        print()
        header = ["map", "found again", "s, median / most", "m, median / most", "wrong poses, mean / most"]
        print_table(header, [kidnapping_row(s) for s in scenes])
    if options.picture:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
