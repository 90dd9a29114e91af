"""From the most similar place to one to act on: what the sequence filter and verification add, step by step.

Every map lacks a part of the streets: the middle third of a corridor, the east of the town. The drive goes
through all of them, so that many of its images show places that were never mapped, and count as mistakes
where they are accepted. R@1 and recall are shares of the images that have a correct place in the map.
`poses` and `wrong` are those of the default options; the ellipse is that of x and y. The second table counts
the poses of drives that no map knows anything of: other corridors, and ten minutes of other towns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks._measure import draw_curves, print_table
from benchmarks.scenes import Drive, Workshop, add_arguments, workshop
from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.evaluation.recall import recall_by_position, within
from netvlad_core.geometry.features import KINDS, usual_kind
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap

STEPS = ("raw top-1", "sequence filter", "verification", "both")
# Of the rendered images every fourth one is taken, about five metres apart.
_STEP = {"town": 4, "estate": 4}


@dataclass
class Answers:
    """One way through one drive."""

    truth: list[Pose]
    answers: list[Localization]
    place_map: PlaceMap
    within: float

    def __post_init__(self) -> None:
        named = np.array([[answer.place] for answer in self.answers])
        positions = np.array([pose.position for pose in self.truth])
        places = np.asarray(self.place_map.poses[:, :3])
        self.right: np.ndarray = within(named, places, positions, self.within)[:, 0]
        self.answerable = recall_by_position(named, places, positions, self.within).has_positive

    def curve(self) -> PrecisionRecall:
        scores = np.array([answer.confidence for answer in self.answers])
        return precision_recall(scores, self.right, self.answerable)

    def row(self) -> list[str]:
        has_pose = np.array([a.prior is not None for a in self.answers])
        curve = self.curve()
        shares = [
            self.right.sum() / self.answerable.sum(), curve.recall_at(1.0), curve.recall_at(0.99),
            (has_pose & self.right).sum() / self.answerable.sum(),
        ]  # fmt: skip
        return [
            *(f"{100 * s:.1f}" for s in shares),
            str(int((has_pose & ~self.right).sum())),
            *self._errors(),
        ]

    def _errors(self) -> list[str]:
        """Median error and share inside the ellipse, of the poses from right places."""
        posed = [(a.prior, t) for a, t, ok in zip(self.answers, self.truth, self.right) if ok and a.prior]
        if not posed:
            return ["-", "-"]
        offsets = np.array([prior.pose.position - truth.position for prior, truth in posed])
        inside = [prior.holds(truth.position[:2]) for prior, truth in posed]
        return [f"{np.median(np.linalg.norm(offsets, axis=1)):.2f}", f"{100 * np.mean(inside):.1f}"]


def localize(
    localizer: Localizer, images: list[np.ndarray], drive: Drive, step: str
) -> Iterator[Localization]:
    has_geometry = step in ("verification", "both")
    verification = VerificationOptions() if has_geometry else None
    localizer = localizer.with_options(replace(localizer.options, verification=verification))
    localizer.forget()
    for row, (image, descriptor, pose) in enumerate(zip(images, drive.descriptors, drive.odometry)):
        observation = localizer.observe(image, int(drive.stamps[row]), pose, descriptor=descriptor)
        is_tracked = step in ("sequence filter", "both")
        yield localizer.track(observation) if is_tracked else localizer.locate(observation)


def measure(shop: Workshop, name: str, features: str) -> tuple[list[list[str]], dict[str, PrecisionRecall]]:
    place_map = shop.place_map(name, has_gap=True, features=features)
    localizer = Localizer.open(place_map.path)
    _, source, within = shop.sources(name)
    drive = shop.drive(place_map, source, name)
    rows_used = np.arange(0, len(drive), _STEP.get(name, 1))
    drive, wanted = drive.take(rows_used), set(rows_used.tolist())
    images = [frame.decode() for index, frame in enumerate(source) if index in wanted]
    rows, curves = [], {}
    for step in STEPS:
        answers = list(localize(localizer, images, drive, step))
        result = Answers(drive.truth, answers, place_map, within)
        unmapped = int((~result.answerable).sum())
        rows.append([name, f"{len(drive)}, {unmapped}", step, *result.row()])
        curves[step] = result.curve()
    for row in rows:
        print(*row, sep="  ", file=sys.stderr, flush=True)  # the table comes last, and this takes long
    return rows, curves


def off_map(shop: Workshop, name: str, features: str) -> list[str]:
    """Poses that each step gives for images of somewhere else."""
    place_map = shop.place_map(name, features=features)
    localizer = Localizer.open(place_map.path)
    images, poses = 0, dict.fromkeys(STEPS, 0)
    for other, source in shop.elsewhere(name).items():
        drive = shop.drive(place_map, source, other)
        pictures = [frame.decode() for frame in source]
        images += len(drive)
        for step in STEPS:
            answers = localize(localizer, pictures, drive, step)
            poses[step] += sum(answer.prior is not None for answer in answers)
    return [name, str(images), *(str(poses[step]) for step in STEPS)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    text = "local features in the maps, or none: then they keep images (default: %(default)s)"
    parser.add_argument("--features", choices=["none", *KINDS], default=usual_kind(), help=text)
    parser.add_argument("--sets", nargs="+", help="(default: all)")
    options = parser.parse_args()
    shop = workshop(options)
    names = shop.names()
    if shop.data.is_dir():
        names.insert(2, "toshiki_loop")
    if shop.has_town:
        names.append("estate")
    if not names:
        print(f"the real sets are not in {options.data}, and no town is asked for: nothing to measure")
        return
    if options.sets is not None:
        names = [name for name in names if name in options.sets]
    results = {name: measure(shop, name, options.features) for name in names}
    header = ["set", "images, unmapped", "step", "R@1 %", "recall at 100 % precision", "at 99 %"]
    header += ["right poses %", "wrong poses", "median error m", "inside the 95 % ellipse %"]
    print_table(header, [row for rows, _ in results.values() for row in rows])
    print()
    header = ["map", "images of elsewhere", *(f"poses, {step}" for step in STEPS)]
    rows = [off_map(shop, name, options.features) for name in shop.names() if name in names]
    print_table(header, rows)
    if options.picture:
        draw_curves({name: curves for name, (_, curves) in results.items()}, options.picture)


if __name__ == "__main__":
    main()
