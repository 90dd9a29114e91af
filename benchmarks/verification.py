"""What geometric verification adds to single images and to the sequence filter, and what it costs.

Each drive is localized four ways against one map with full images. The corridors have no calibration, so
geometry confirms and re-ranks there; in the town (`--town FOLDER`, see sequence.py) it also gives a metric
pose. A pose is wrong when the place that it is taken from is. The ellipse is that of x and y.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import cv2
import numpy as np
import real_sets
from _measure import print_table
from scipy.stats import chi2

from netvlad_core.data.bags import BagSource
from netvlad_core.data.datasets import CatalogueSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.loop_closure import PrecisionRecall, precision_recall
from netvlad_core.localization.localizer import Localization, Localizer
from netvlad_core.localization.verification import VerificationOptions
from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap, describe_files
from netvlad_core.model.streaming import DescribedFrame, describe_frames

_ELLIPSE = float(chi2.ppf(0.95, 2))
_CORRIDORS = ("rtabmap_corridor", "vprbench_corridor")
_SIZES = (1_000, 10_000, 100_000)
_TIMED = 40


@dataclass
class Answers:
    """One way through one drive."""

    truth: list[Pose]
    answers: list[Localization]
    place_map: PlaceMap
    within: float

    @property
    def errors(self) -> np.ndarray:
        """(Q,) metres from the place believed in, or the best match."""
        places = [a.belief.place if a.belief else a.matches[0].place for a in self.answers]
        return self._from_truth(self.place_map.poses[places, :3])

    def curve(self) -> PrecisionRecall:
        right = self.errors <= self.within
        return precision_recall(np.array([_score(a) for a in self.answers]), right, np.ones(len(right), bool))

    def row(self) -> list[str]:
        posed = [(a.prior, truth) for a, truth in zip(self.answers, self.truth) if a.prior]
        offsets = np.array([p.pose.position - truth.position for p, truth in posed]).reshape(-1, 3)
        errors = np.linalg.norm(offsets, axis=1)
        inside = [
            offset[:2] @ np.linalg.solve(p.covariance[:2, :2], offset[:2]) <= _ELLIPSE
            for offset, (p, _) in zip(offsets, posed)
        ]
        shown = [f"{np.median(errors):.2f}", f"{100 * np.mean(inside):.1f}"] if posed else ["-", "-"]
        recall = [
            (self.errors <= self.within).mean(),
            self.curve().recall_at(1.0),
            len(posed) / len(self.truth),
        ]
        wrong = sum(a.prior is not None and e > self.within for a, e in zip(self.answers, self.errors))
        return [*(f"{100 * share:.1f}" for share in recall), str(wrong), *shown]

    def _from_truth(self, positions: np.ndarray) -> np.ndarray:
        return np.linalg.norm(positions - np.array([pose.position for pose in self.truth]), axis=1)


def _score(answer: Localization) -> float:
    if answer.belief is not None:
        return answer.belief.probability
    return answer.matches[0].score


def localize(
    localizer: Localizer, drive: list[DescribedFrame], is_drive: bool, has_odometry: bool
) -> list[Localization]:
    localizer.forget()
    answers = []
    for described in drive:
        frame, image, descriptor = described.frame, described.image, described.descriptor
        assert image is not None
        assert descriptor is not None
        query = localizer.prepare(image)
        if is_drive:
            odometry = frame.pose if has_odometry else None
            answers.append(localizer.track(descriptor, frame.stamp, odometry, query))
        else:
            answers.append(localizer.locate(descriptor, frame.stamp, query))
    return answers


def describe(localizer: Localizer, source: FrameSource, step: int = 1) -> list[DescribedFrame]:
    frames = [frame for index, frame in enumerate(source) if index % step == 0]
    described = (item for batch in describe_frames(frames, localizer.extractor) for item in batch)
    return [item for item in described if item.descriptor is not None]


def measure(
    name: str,
    own: FrameSource,
    drive: FrameSource,
    others: Mapping[str, FrameSource],
    within: float,
    folder: Path,
) -> tuple[list[list[str]], list[list[str]], dict[str, PrecisionRecall]]:
    place_map = build_map(own, folder / "map", BuildOptions(store_images="full"), progress=False)
    localizer = Localizer.open(place_map.path)
    frames = describe(localizer, drive)
    truth = [item.frame.pose or Pose.identity() for item in frames]
    rows, curves = [], {}
    elsewhere = {other: describe(localizer, source) for other, source in others.items()}
    counts: dict[str, list[str]] = {other: [name, other, str(len(e))] for other, e in elsewhere.items()}
    for is_drive, method in ((False, "single images"), (True, "sequence filter")):
        for verification, with_it in ((None, ""), (VerificationOptions(), " + verification")):
            localizer.options = replace(localizer.options, verification=verification)
            answers = localize(localizer, frames, is_drive, has_odometry=True)
            result = Answers(truth, answers, place_map, within)
            rows.append([name, method + with_it, *result.row()])
            curves[method + with_it] = result.curve()
            for other, images in elsewhere.items():
                there = localize(localizer, images, is_drive, has_odometry=True)
                counts[other].append(str(sum(a.prior is not None for a in there)))
    return rows, list(counts.values()), curves


def corridor(name: str, data: Path, folder: Path) -> tuple:
    sources = {}
    for other in (*_CORRIDORS, "toshiki_loop"):
        places, queries, within = real_sets.SETS[other](data)
        if other == name:
            own, correct = CatalogueSource.from_csv(real_sets._write(places, folder / "map.csv")), within
        sources[other] = CatalogueSource.from_csv(real_sets._write(queries, folder / f"{other}.csv"))
    return measure(name, own, sources.pop(name), sources, correct, folder)


def town(name: str, cache: Path, folder: Path, seed: int, evening: str) -> tuple:
    from demo.drives import FIRST, SECOND_DRIVE, write_drive

    noon = "noon" if seed == 7 else f"noon_{seed}"
    for bag, drive, rate in ((noon, FIRST, 5.0), (evening, SECOND_DRIVE, 5.0 if seed == 7 else 2.0)):
        if not (cache / bag).is_dir():
            write_drive(cache / bag, drive, seed=seed, image_rate=rate, size=(320, 240), progress=True)
    others = {"town 9": BagSource.open(cache / "town_9")} if seed == 7 and (cache / "town_9").is_dir() else {}
    return measure(name, BagSource.open(cache / noon), BagSource.open(cache / evening), others, 25.0, folder)


def large_map(folder: Path, count: int) -> PlaceMap:
    """A map of so many places out of a few pictures and random descriptors, to time what looks things up."""
    random = np.random.default_rng(0)
    pictures = [
        cv2.imencode(".jpg", cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (320, 240)))[
            1
        ].tobytes()
        for _ in range(64)
    ]
    folder.mkdir()
    sizes = [len(pictures[index % 64]) for index in range(count)]
    with (folder / layout.IMAGES_FILE).open("wb") as file:
        for index in range(count):
            file.write(pictures[index % 64])
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    np.save(folder / layout.IMAGE_ENDS_FILE, np.cumsum(sizes).astype(np.int64))
    np.save(folder / layout.DESCRIPTORS_FILE, np.zeros((count, 8), np.float32))
    np.save(folder / layout.STAMPS_FILE, np.arange(count, dtype=np.int64))
    np.save(folder / layout.POSES_FILE, poses)
    (folder / layout.NAMES_FILE).write_text(json.dumps([str(index) for index in range(count)]))
    header = MapHeader(
        "large", "none", 8, count, "map", "random", "", {}, None, "full", 1.0, 0.0,
        files=describe_files(folder, [path.name for path in folder.iterdir()]),
    )  # fmt: skip
    (folder / layout.HEADER_FILE).write_text(json.dumps(asdict(header)))
    return PlaceMap.open(folder)


def times(folder: Path) -> list[list[str]]:
    """Median milliseconds for an image whose ten candidates nobody has asked for before."""
    from netvlad_core.localization.retrieval import matches_of
    from netvlad_core.localization.verification import Verifier

    rows = []
    for count in _SIZES:
        place_map = large_map(folder / str(count), count)
        verifier = Verifier(place_map)
        random = np.random.default_rng(1)
        fresh: list[float] = []
        again: list[float] = []
        for _ in range(_TIMED):
            places = random.integers(0, count, 10)
            image = place_map.image(int(places[0]))
            assert image is not None
            for spent in (fresh, again):
                started = perf_counter()
                verifier.rank(verifier.query(image), matches_of(place_map, places, np.ones(10)))
                spent.append(1e3 * (perf_counter() - started))
        rows.append([str(count), f"{np.median(fresh):.0f}", f"{np.median(again):.0f}"])
    return rows


def draw(curves: dict[str, dict[str, PrecisionRecall]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(curves), 3.6), dpi=110, layout="constrained")
    for axes, (scene, lines) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        for (name, curve), style in zip(lines.items(), ("-", "-", "--", ":")):
            axes.plot(curve.recall, curve.precision, style, label=name)
        axes.set(title=scene, xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0.5, 1.02))
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = real_sets._ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the real sets")
    parser.add_argument("--town", type=Path, metavar="FOLDER", help="render the town there, or find it there")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the precision/recall curves")
    options = parser.parse_args()
    rows, off_map, curves = [], [], {}
    with TemporaryDirectory() as temporary:
        results = {}
        for name in _CORRIDORS if options.data.is_dir() else ():
            (folder := Path(temporary) / name).mkdir()
            results[name] = corridor(name, options.data.resolve(), folder)
        for seed, evening in ((7, "evening"), (8, "evening_8")) if options.town else ():
            name = "town" if seed == 7 else f"town {seed}"
            (folder := Path(temporary) / name).mkdir()
            results[name] = town(name, options.town, folder, seed, evening)
        for name, (of_drive, elsewhere, lines) in results.items():
            rows += of_drive
            off_map += elsewhere
            curves[name] = lines
        header = ["set", "method", "R@1 %", "recall at 100 % precision", "poses %", "wrong poses"]
        print_table([*header, "median error m", "inside the 95 % ellipse %"], rows)
        print()
        methods = ["single", "single + verification", "filter", "filter + verification"]
        print_table(["map", "images of", "images", *(f"poses, {method}" for method in methods)], off_map)
        print()
        print_table(["places", "ms an image, new places", "ms, places seen before"], times(Path(temporary)))
    if options.picture and curves:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
